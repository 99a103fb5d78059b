# frozen_string_literal: true

require_relative "table"

module Verify
  # The same flood of work with collectors that are well, away, silent, and killed in mid-run; they take turns.
  class Outage
    # What one run came to.
    Run = Struct.new(:steps_per_s, :cpu_us, :peak_mb, :dropped, :exported, :failures, :lines, :seconds, :exit_seconds)

    # Ours and the SDK's: nothing else goes wrong here.
    COMPLAINTS = /^\S+ +(?:WARN|ERROR) /
    MEMORY_MB = 150 # more than with a healthy collector: a full queue is 65,536 spans
    EXIT_SECONDS = 3.0
    AIM = 0.95
    ENVIRONMENT = {
      "TELEMETRY_ENABLED" => "true", "LOG_LEVEL" => "info", "RUST_LOG" => nil, "OTEL_METRIC_EXPORT_INTERVAL" => "1000",
      "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc", "OTEL_TRACES_SAMPLER" => nil, "OTEL_TRACES_SAMPLER_ARG" => nil,
      "OTEL_SDK_DISABLED" => nil, "TASKER_TRACE_SAMPLE" => nil, "TASKER_STEP_SAMPLE" => nil,
      "TASKER_WEB_BIND" => nil, "TASKER_WEB_TOKEN" => nil,
      "TASKER_WEB_ENABLED" => nil, "TASKER_WEB_PORT" => "0"
    }.freeze
    COLLECTORS = %i[healthy refused hanging restarted].freeze

    def initialize(services)
      @services = services
      @tasks = ENV.fetch("TASKS", "10000")
      @rounds = Integer(ENV.fetch("ROUNDS", "3"))
      @runs = Hash.new { |runs, collector| runs[collector] = [] }
      @table = Table.new
    end

    def run
      @rounds.times do |round|
        COLLECTORS.rotate(round).each do |collector|
          @runs[collector] << send(collector)
          puts format("round %d/%d %-10s %s", round + 1, @rounds, collector, said(@runs[collector].last))
        end
      end
      report
      judge
      @table.good?
    end

    private

    def said(run)
      words = "%6.0f steps/s, %.0f us CPU a step, peak %.0f MB, spans: %d dropped, %d exported; %d exports failed, " \
              "%d lines in %.1f s, exit %.2f s"
      format(words, *run.to_a)
    end

    def healthy
      collector = @services.rotel(told: false)
      flood(collector.url)
    ensure
      @services.stop(collector)
    end

    def refused
      flood("http://127.0.0.1:#{Services.free_port}")
    end

    # Accepts, and never answers.
    def hanging
      server = TCPServer.new("127.0.0.1", 0)
      taken = []
      acceptor = Thread.new { loop { taken << server.accept } }
      acceptor.report_on_exception = false
      flood("http://127.0.0.1:#{server.addr[1]}")
    ensure
      acceptor.kill
      [server, *taken].each(&:close)
    end

    # Killed a second after the work began, back a second later.
    def restarted
      collector = @services.rotel(told: false)
      port = URI(collector.url).port
      restart = nil
      flood(collector.url) do
        restart = Thread.new do
          sleep 1
          @services.stop(collector, "KILL")
          sleep 1
          collector = @services.rotel(port: port, told: false)
        end
      end
    ensure
      restart&.join
      @services.stop(collector)
    end

    def flood(endpoint)
      worker = @services.worker("flood.rb", ENVIRONMENT.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => endpoint), @tasks)
      worker.answer
      began = Services.now
      yield if block_given?
      figures = worker.ask("go")
      metrics = Services.get("http://#{figures['web']}/metrics").body
      counts = %w[dropped exported].map { |name| metrics[/^tasker_telemetry_spans_#{name}_total (\d+)/, 1].to_i }
      failures = metrics[/^tasker_telemetry_export_failures_total (\d+)/, 1].to_i
      exit_seconds = worker.finish
      lines = File.foreach(worker.log).grep(COMPLAINTS).size
      seconds = Services.now - began
      Run.new(*figures.values_at("steps_per_s", "cpu_us", "peak_mb"), *counts, failures, lines, seconds, exit_seconds)
    end

    def median(collector, &figure)
      middle(@runs[collector].map(&figure))
    end

    def middle(values)
      values.sort.values_at((values.size - 1) / 2, values.size / 2).sum / 2.0
    end

    # Each round has a healthy run of its own to be measured by.
    def ratio(collector, &figure)
      pairs = @runs[collector].zip(@runs[:healthy])
      middle(pairs.map { |pair| pair.map(&figure).reduce(:/) })
    end

    def report
      puts "", "Medians of #{@rounds} rounds, #{@tasks} tasks of 4 steps. Load: #{load}"
      puts format("  %-10s %8s %17s %9s %8s %9s %8s %9s", "collector", "steps/s", "lowest..highest", "healthy=1",
                  "CPU us", "healthy=1", "peak MB", "dropped")
      COLLECTORS.each { |collector| puts line(collector) }
    end

    def line(collector)
      speeds = @runs[collector].map(&:steps_per_s)
      format("  %-10s %8.0f %17s %9.3f %8.1f %9.3f %8.0f %9d", collector, median(collector, &:steps_per_s),
             speeds.minmax.map(&:round).join(".."), ratio(collector, &:steps_per_s), median(collector, &:cpu_us),
             ratio(collector, &:cpu_us), median(collector, &:peak_mb), median(collector, &:dropped))
    end

    def load
      averages = "/proc/loadavg"
      File.exist?(averages) ? File.read(averages).split.first(3).join(" ") : "unknown"
    end

    def judge
      judge_bounds(median(:healthy, &:peak_mb) + MEMORY_MB)
      puts "", format("%86s %12s", "at least", "median")
      (COLLECTORS - [:healthy]).each { |collector| undisturbed(collector) }
    end

    def judge_bounds(memory)
      puts "", format("%86s %12s", "at most", "worst")
      COLLECTORS.each do |collector|
        runs = @runs[collector]
        bounded("#{collector}: peak memory, MB", memory.round, runs.map(&:peak_mb).max.round)
        bounded("#{collector}: seconds to exit", EXIT_SECONDS, runs.map(&:exit_seconds).max.round(2))
        chatty = runs.max_by { |run| run.lines - (run.seconds / 60).floor }
        bounded("#{collector}: lines about it on the console", (chatty.seconds / 60).floor + 1, chatty.lines)
      end
    end

    # On a machine with other work to do steps/s say little (see their span); CPU time a step says more. The work is
    # undisturbed when either of them is.
    def undisturbed(collector)
      share = [ratio(collector, &:steps_per_s), 1 / ratio(collector, &:cpu_us)].max.round(2)
      @table.row("#{collector}: steps/s, or steps for the same CPU time, of healthy", AIM, share, share >= AIM)
    end

    def bounded(what, limit, worst)
      @table.row(what, limit, worst, worst <= limit)
    end
  end
end
