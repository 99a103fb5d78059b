# frozen_string_literal: true

require_relative "queries"
require_relative "received"
require_relative "stored"
require_relative "table"
require_relative "transport"

module Verify
  # Runs the orders, and compares what rotel and Prometheus got with what the store says.
  class Comparison
    ENVIRONMENT = {
      "TELEMETRY_ENABLED" => "true", "LOG_LEVEL" => "debug", "OTEL_METRIC_EXPORT_INTERVAL" => "500",
      "OTEL_TRACES_EXPORTER" => "otlp", "OTEL_LOGS_EXPORTER" => "otlp", "OTEL_METRICS_EXPORTER" => "otlp",
      "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc", "RUST_LOG" => nil, "OTEL_TRACES_SAMPLER" => nil,
      "OTEL_TRACES_SAMPLER_ARG" => nil, "OTEL_SDK_DISABLED" => nil, "TASKER_TRACE_SAMPLE" => nil,
      "TASKER_STEP_SAMPLE" => nil,
      "TASKER_WEB_BIND" => nil, "TASKER_WEB_TOKEN" => nil, "TASKER_WEB_ENABLED" => nil
    }.freeze
    # promtool wants base units. The names are prescribed: by the reference documents and their queries.
    PRESCRIBED = /use base unit "seconds" instead of "milliseconds"/
    SCRAPES = 4
    # The orders are in a SQLite file, where nobody sends notifications.
    POSTGRESQL_ONLY = /tasker_queue_notification_milliseconds/

    # @param transport [Transport] the way to the collector
    def initialize(services, transport = Transport.new("grpc"))
      @services = services
      @transport = transport
      @table = Table.new
    end

    def run
      arrive
      check_exposition
      ask_queries
      @worker.finish
      @table.good?
    end

    # Only what came to the collector.
    def arrive
      watch
      compare_spans
      compare_logs
      compare_counters
      @table.good?
    end

    private

    def watch
      rotel = @services.rotel
      answer = process_orders(rotel)
      @stored = Stored.new(answer)
      puts "#{answer.fetch('tasks').size} orders: #{answer.fetch('tasks').map { |task| task['state'] }.tally}"
      # The flush has ended; what rotel prints and Prometheus scrapes comes a moment later.
      await_scrapes(SCRAPES)
      @received = Received.new(File.read(rotel.log, encoding: "UTF-8"))
      puts format("%86s %12s", "expected", "received")
      @table.same("telemetry flushed", true, answer.fetch("flushed"))
    end

    def process_orders(rotel)
      settings = { "TASKER_WEB_PORT" => Services.free_port.to_s, **@transport.environment(@services, rotel) }
      orders = ENV.fetch("ORDERS", "20")
      @worker = @services.worker("orders.rb", ENVIRONMENT.merge(settings), @services.folder, orders)
      @web = @worker.answer.fetch("web") or raise "the worker has no web server"
      @prometheus = Queries.new(@services.prometheus(@web))
      await_scrapes(2)
      @worker.ask("go")
    end

    def await_scrapes(count)
      scrapes = -> { @prometheus.values("count_over_time(up[10m])").first.to_i }
      goal = scrapes.call + count
      Services.patiently("#{count} scrapes") { scrapes.call >= goal }
    end

    def compare_spans
      @table.section("Spans at rotel")
      came = @received.spans.map(&:name).tally
      @stored.spans.each { |name, count| @table.same(name, count, came.fetch(name, 0)) }
      @table.same("any other", 0, came.except(*@stored.spans.keys).values.sum)
      compare_ids
      compare_parents(@received.spans.partition { |span| !span.parent_span_id.empty? })
      compare_links
    end

    def compare_ids
      roots = @received.spans.select { |span| span.name == "task.orchestration" }
      @table.row("traces, each a task's with one task.orchestration", @stored.traces.size, roots.size,
                 @stored.traces.sort == roots.map(&:trace_id).sort)
      ids = @received.spans.map(&:span_id)
      @table.same("span ids that came twice", 0, ids.size - ids.uniq.size)
    end

    # The name of the span with those ids that came.
    def known
      @known ||= @received.spans.to_h { |span| [[span.trace_id, span.span_id], span.name] }
    end

    def compare_parents((below, roots))
      orphans = below.reject do |span|
        parent = [span.trace_id, span.parent_span_id]
        known[parent] || (span.name == "task.orchestration" && parent == @stored.remote)
      end
      @table.same("spans without their parent", 0, orphans.size)
      @table.same("roots (one task has a caller elsewhere)", @stored.traces.size - 1, roots.size)
    end

    def compare_links
      linked = @received.spans.select { |span| span.name == "worker.step_completion_received" }
      dangling = linked.reject { |span| span.links.size == 1 && known[[span.trace_id, span.links.first]] }
      @table.same("completions without a link to their attempt", 0, dangling.size)
    end

    def compare_logs
      @table.section("Log records at rotel")
      with_ids = @received.logs.reject { |log| log.trace_id.empty? }
      came = with_ids.map(&:body).tally
      @stored.logs.each { |body, count| @table.same(body, count, came.fetch(body, 0)) }
      compare_log_ids(with_ids)
    end

    def compare_log_ids(with_ids)
      of = ->(log) { known[[log.trace_id, log.span_id]] }
      @table.same("with the trace of no task", 0, with_ids.count { |log| !@stored.traces.include?(log.trace_id) })
      @table.same("with the id of no span", 0, with_ids.count { |log| of.call(log).nil? })
      @table.same("traces with log records", @stored.traces.size, with_ids.map(&:trace_id).uniq.size)
      inside = with_ids.count { |log| log.body == "charging" && of.call(log) == "charge card" }
      @table.same("of Ruby's lines, those inside the span they were written in", @stored.logs["charging"], inside)
    end

    def compare_counters
      { "Prometheus" => ->(name) { @prometheus.values("sum(#{name.tr('.', '_')}_total)").first.to_f },
        "rotel" => ->(name) { @received.total(name) } }.each do |where, ask|
        @table.section("Counters at #{where}")
        @stored.counters.each { |name, count| @table.same(name, count.to_f, ask.call(name)) }
      end
      @table.section("Counters at Prometheus, by handler")
      @stored.by_handler.each do |name, counts|
        came = @prometheus.by("handler", "tasker_steps_#{name}_total")
        (counts.keys | came.keys).sort.each do |handler|
          @table.same("#{name} #{handler}", counts.fetch(handler, 0).to_f, came.fetch(handler, 0.0))
        end
      end
    end

    def check_exposition
      @table.section("promtool check metrics")
      text = Services.get("http://#{@web}/metrics").body
      said, status = Open3.capture2e(@services.tools[:promtool], "check", "metrics", stdin_data: text)
      lines = said.lines(chomp: true)
      lines.each { |line| puts "  #{line}#{'; allowed: the name is prescribed' if line.match?(PRESCRIBED)}" }
      others = lines.grep_v(PRESCRIBED)
      # 0 is no word, 3 is advice, 1 is an error.
      @table.row("errors, or advice other than on prescribed units", 0, others.size,
                 others.empty? && [0, 3].include?(status.exitstatus))
    end

    def ask_queries
      { "Queries of the reference documents" => Queries.reference,
        "Queries of #{Queries::DASHBOARD}" => Queries.dashboard(Services::ROOT) }.each do |title, queries|
        @table.section("#{title}: series with data")
        queries.grep_v(POSTGRESQL_ONLY).each { |query| ask(query.gsub(/\s+/, " "), query) }
      end
    end

    def ask(name, query)
      values = @prometheus.values(query)
      note = "NaN (a true zero by zero)" if values.any? && values.all?("NaN")
      @table.row(name, ">= 1", values.size, values.any?)
      puts "    #{note || values.first(3).join(', ')}"
    rescue RuntimeError => e
      @table.row(name, ">= 1", e.message, false)
    end
  end
end
