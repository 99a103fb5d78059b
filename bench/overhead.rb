# frozen_string_literal: true

# (f) What the application's own telemetry costs on the thread that writes it, in nanoseconds each: a span with an
# attribute and a log line with a field, from Ruby, exported to a local OTLP sink; a line below the level; and the
# same from Rust, for comparison. The console is off: how fast a terminal is, is its own affair.

require "json"
require "open3"
require_relative "runner"

# Measures this process.
class OverheadBench
  ROUNDS = 7
  CALLS = 20_000

  def run
    Runner.with_sink do |endpoint, _counts|
      TaskerCore::Telemetry.upgrade!(endpoint: endpoint, log_level: "off")
      logger = TaskerCore.logger
      figures = {
        "overhead.ruby_span_ns" => each { TaskerCore.span("charge card", amount: 5) { nil } },
        "overhead.ruby_nested_span_ns" => nested { TaskerCore.span("charge card", amount: 5) { nil } },
        "overhead.ruby_filtered_log_ns" => each { logger.debug("charged", amount: 5) },
        "overhead.ruby_log_ns" => with_lines { each { logger.info("charged", amount: 5) } }
      }
      TaskerCore::Telemetry.shutdown
      figures.merge(rust(endpoint))
    end
  end

  private

  # The exporter's threads work in between, not during a round.
  def each(&block)
    rounds = Array.new(ROUNDS) do
      TaskerCore::Telemetry.flush
      started = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :nanosecond)
      CALLS.times(&block)
      (Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :nanosecond) - started) / CALLS.to_f
    end
    Runner.median(rounds)
  end

  def nested(&block)
    TaskerCore.span("outer") { each(&block) }
  end

  # Lines go to OTLP, and to a console that is a file.
  def with_lines
    TaskerCore.logger.level = :info
    yield
  end

  def rust(endpoint)
    out, said, status = Open3.capture3(Runner.example("line_cost"), endpoint)
    abort "bench: line_cost failed\n#{said}" unless status.success?

    JSON.parse(out)
  end
end

require "tasker_core"
puts JSON.generate(OverheadBench.new.run)
