# frozen_string_literal: true

require "etc"
require "fileutils"
require "socket"
require "tmpdir"

# A PgBouncer of an example's own, in transaction mode and with few connections, before a PostgreSQL server.
class PgBouncer
  PROGRAM = [*ENV.fetch("PATH", "").split(":"), "/usr/sbin"].map { |path| File.join(path, "pgbouncer") }
                                                            .find { |path| File.executable?(path) }

  attr_reader :port

  # @param server [URI] with a user and a password
  # @param settings [Hash] in place of those below, or besides them
  def initialize(server, **settings)
    @folder = Dir.mktmpdir("pgbouncer")
    @port = TCPServer.open("127.0.0.1", 0) { |socket| socket.addr[1] }
    write("users", %("#{server.user}" "#{server.password}"\n))
    settings = { listen_addr: "127.0.0.1", listen_port: @port, unix_socket_dir: "", auth_type: "scram-sha-256",
                 auth_file: "#{@folder}/users", pool_mode: "transaction", default_pool_size: 3, **settings }
    write("ini", "[databases]\n* = host=#{server.host} port=#{server.port}\n[pgbouncer]\n" +
                 settings.map { |name, value| "#{name} = #{value}\n" }.join)
    start
  end

  # What it has logged.
  def log
    File.read("#{@folder}/log")
  end

  def stop
    Process.kill("KILL", @pid)
    Process.wait(@pid)
    FileUtils.rm_rf(@folder)
  end

  private

  def write(name, text)
    File.write("#{@folder}/#{name}", text, perm: 0o600)
  end

  # It refuses root.
  def start
    as_user = []
    if Process.uid.zero?
      user = Etc.getpwnam("postgres")
      FileUtils.chown_R(user.uid, user.gid, @folder)
      as_user = ["setpriv", "--reuid=#{user.uid}", "--regid=#{user.gid}", "--clear-groups"]
    end
    @pid = spawn(*as_user, PROGRAM, "#{@folder}/ini", %i[out err] => "#{@folder}/log")
    wait
  end

  def wait
    TCPSocket.new("127.0.0.1", @port).close
  rescue Errno::ECONNREFUSED
    raise "PgBouncer does not start: #{log}" if Process.wait(@pid, Process::WNOHANG)

    Thread.pass
    retry
  end
end
