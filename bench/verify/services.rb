# frozen_string_literal: true

require "fileutils"
require "json"
require "net/http"
require "open3"
require "socket"
require "tmpdir"

module Verify
  # What runs beside the worker, in a folder of its own. Whatever was started is stopped by its pid; the folder goes.
  class Services
    ROOT = File.expand_path("../..", __dir__)
    FOLDERS = File.join(ROOT, "tmp/verify")

    # A process with a log.
    Running = Struct.new(:name, :pid, :log, :url, :http_url)

    # A worker of bench/verify/: lines of JSON on its standard input and output, its console in a file.
    class Worker
      attr_reader :pid, :log

      def initialize(script, env, log, *arguments)
        command = [RbConfig.ruby, "-I#{File.join(ROOT, 'lib')}", File.join(ROOT, "bench/verify", script), *arguments]
        @log = log
        @io = IO.popen([env, *command, { err: log }], "r+")
        @pid = @io.pid
      end

      # The next line it says.
      def answer
        line = @io.gets or raise "the worker died; its console: #{File.read(@log).lines.last(20).join}"
        JSON.parse(line)
      end

      def ask(word)
        @io.puts(word)
        answer
      end

      # Lets it end; seconds that took.
      def finish
        began = Services.now
        @io.close_write
        @io.read
        @io.close
        Services.now - began
      end

      def kill
        return if @io.closed?

        Process.kill("KILL", @pid)
        @io.close
      end
    end

    class << self
      def open(tools)
        FileUtils.mkdir_p(FOLDERS)
        Dir.mktmpdir("run", FOLDERS) do |folder|
          services = new(tools, folder)
          yield services
        ensure
          services&.stop_all
        end
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      def free_port
        TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
      end

      # Waits until the block gives something.
      def patiently(what, seconds = 30)
        deadline = now + seconds
        loop do
          found = yield
          return found if found
          raise "#{what}: not within #{seconds} s" if now > deadline

          sleep 0.05
        end
      end

      def get(url)
        Net::HTTP.get_response(URI(url))
      rescue SystemCallError, IOError, Timeout::Error
        nil
      end
    end

    attr_reader :tools, :folder

    def initialize(tools, folder)
      @tools = tools
      @folder = folder
      @running = []
      @workers = []
    end

    # @param told [Boolean] whether it prints what it receives
    def rotel(port: Services.free_port, told: true)
      http = Services.free_port
      command = [tools[:rotel], "start", "--otlp-grpc-endpoint", "127.0.0.1:#{port}",
                 "--otlp-http-endpoint", "127.0.0.1:#{http}", "--exporter", "blackhole"]
      command += %w[--debug-log traces --debug-log logs --debug-log metrics --debug-log-verbosity detailed] if told
      service = start("rotel", command, "http://127.0.0.1:#{port}")
      service.http_url = "http://127.0.0.1:#{http}"
      Services.patiently("rotel listens") { listening?(port) && listening?(http) }
      service
    end

    # @param config [String] haproxy's, which listens with TLS on this port
    def haproxy(config, port)
      file = File.join(folder, "haproxy.cfg")
      File.write(file, config)
      service = start("haproxy", [tools[:haproxy], "-db", "-f", file], "https://127.0.0.1:#{port}")
      Services.patiently("haproxy listens") { listening?(port) }
      service
    end

    # @param target [String, Hash] host:port whose /metrics it scrapes every second, or how it finds them
    # @param rules [Array<String>] files of rules, looked at every second
    def prometheus(target, rules: [])
      targets = target.is_a?(Hash) ? target : { static_configs: [{ targets: [target] }] }
      config = File.join(folder, "prometheus.yml")
      File.write(config, JSON.generate(
                           global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
                           rule_files: rules, scrape_configs: [{ job_name: "tasker", **targets }]
                         ))
      port = Services.free_port
      command = [tools[:prometheus], "--config.file=#{config}", "--storage.tsdb.path=#{folder}/prometheus",
                 "--web.listen-address=127.0.0.1:#{port}", "--log.level=warn"]
      service = start("prometheus", command, "http://127.0.0.1:#{port}")
      Services.patiently("Prometheus is ready") { Services.get("#{service.url}/-/ready").is_a?(Net::HTTPOK) }
      service
    end

    def worker(script, env, *arguments)
      log = File.join(folder, "worker#{@workers.size}.log")
      @workers << Worker.new(script, env, log, *arguments)
      @workers.last
    end

    def stop(service, signal = "TERM")
      @running.delete(service)
      Process.kill(signal, service.pid)
      waiter = Process.detach(service.pid)
      return if waiter.join(5)

      Process.kill("KILL", service.pid)
      waiter.join
    end

    def stop_all
      @workers.each(&:kill)
      @running.dup.each { |service| stop(service) }
    end

    private

    def start(name, command, url)
      log = File.join(folder, "#{name}#{@running.size}.log")
      pid = Process.spawn(*command, in: File::NULL, out: [log, "a"], err: %i[child out])
      @running << Running.new(name, pid, log, url)
      @running.last
    end

    def listening?(port)
      TCPSocket.open("127.0.0.1", port, &:close)
      true
    rescue SystemCallError
      false
    end
  end
end
