# frozen_string_literal: true

require "json"
require_relative "../../../spec/support/otlp_sink"
require_relative "../../psql"

module Verify
  # Owns: what runs: a PostgreSQL of its own, a collector, Prometheus and workers, the first of which has something to
  # do all the time. Refuses: deciding what goes wrong with them.
  class Stand
    POSTGRES = File.join(Services::ROOT, "bin/postgres")
    ENVIRONMENT = {
      "LOG_LEVEL" => "off", "RUST_LOG" => nil, "TASKER_DATABASE" => nil, "OTEL_SDK_DISABLED" => nil,
      "OTEL_TRACES_SAMPLER" => nil, "OTEL_TRACES_SAMPLER_ARG" => nil, "TASKER_TRACE_SAMPLE" => nil,
      "TASKER_STEP_SAMPLE" => nil,
      "OTEL_TRACES_EXPORTER" => nil, "OTEL_LOGS_EXPORTER" => "none", "OTEL_METRICS_EXPORTER" => "none",
      "TASKER_WEB_BIND" => nil, "TASKER_WEB_TOKEN" => nil, "TASKER_WEB_ENABLED" => nil
    }.freeze

    def self.open(services)
      folder = command("folder")
      OtlpSink.open do |sink|
        yield new(services, folder, command("start", "--fast", folder), sink)
      end
    ensure
      services.stop_all
      command("remove", folder) if folder
    end

    def self.command(*arguments)
      IO.popen([POSTGRES, *arguments], &:read).chomp
    end

    attr_reader :url, :sink, :worker

    def initialize(services, folder, url, sink)
      @services = services
      @folder = folder
      @url = url
      @sink = sink
      @targets = []
      @port = Services.free_port
    end

    # @param rules [String] a file
    def prometheus(rules)
      watch
      @services.prometheus({ file_sd_configs: [{ files: [targets_file] }] }, rules: [rules])
    end

    # The first worker, again on its own port when it is gone.
    def begin
      @worker = start("calm", @port)
      @worker.ask("trickle 100")
    end

    # Another worker, while the block runs.
    def with(namespace, database = url)
      port = Services.free_port
      other = start(namespace, port, database)
      yield other, "http://127.0.0.1:#{port}"
    ensure
      @targets.delete("127.0.0.1:#{port}")
      watch
      other&.kill
    end

    def sql(statements)
      Psql.run(url, statements).chomp
    end

    def stop_database
      self.class.command("stop", @folder)
    end

    def start_database
      self.class.command("start", @folder)
    end

    private

    def start(namespace, port, database = url)
      env = ENVIRONMENT.merge(sink.env, "DATABASE_URL" => nil, "TASKER_WEB_PORT" => port.to_s)
      worker = @services.worker("alerts/worker.rb", env, database, namespace)
      worker.answer
      @targets |= ["127.0.0.1:#{port}"]
      watch
      worker
    end

    def targets_file
      File.join(@services.folder, "targets.json")
    end

    # Renamed into place: Prometheus may read at any moment.
    def watch
      File.write("#{targets_file}.new", JSON.generate([{ targets: @targets }]))
      File.rename("#{targets_file}.new", targets_file)
    end
  end
end
