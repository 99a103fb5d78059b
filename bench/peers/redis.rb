# frozen_string_literal: true

require "socket"
require "tmpdir"
require_relative "install"

module Peers
  # A redis-server of our own: a free port on loopback, a folder of its own, the persistence that is its default.
  module Redis
    # Yields its URL.
    def self.open(folder)
      program = Install.redis
      port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
      Dir.mktmpdir("redis", folder) do |data|
        log = File.join(folder, "redis.log")
        pid = spawn(program, "--bind", "127.0.0.1", "--port", port.to_s, "--dir", data, %i[out err] => [log, "a"])
        await(port, log)
        yield "redis://127.0.0.1:#{port}/0"
      ensure
        Process.kill(:TERM, pid)
        Process.wait(pid)
      end
    end

    def self.await(port, log)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 10
      begin
        TCPSocket.open("127.0.0.1", port, &:close)
      rescue SystemCallError
        raise Missing, "redis-server does not start; its log is #{log}" if
          Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

        sleep 0.02
        retry
      end
    end
  end
end
