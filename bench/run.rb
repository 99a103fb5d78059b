# frozen_string_literal: true

# Runs the benchmarks, each in a process of its own, and prints one table.
#
#     rake bench                     all of them
#     rake bench ONLY=handoff        one of them: linear4, throughput, handoff, telemetry, overhead, start
#     rake bench JSON=figures.json   writes the figures to a file too, as flat keys
#     ROUNDS=3 TASKS=2000 rake bench

require_relative "runner"

BENCHMARKS = %w[linear4 throughput handoff telemetry overhead start].freeze

# Key, unit, what it is, the floor it must reach on 2 cores (nil: none).
TABLE = [
  ["sqlite.linear4.p50_ms", "ms", "4-step task, one at a time, p50", "<= 4"],
  ["sqlite.linear4.p99_ms", "ms", "4-step task, one at a time, p99", nil],
  ["sqlite.steps_per_s", "steps/s", "no-op steps, all queued, concurrency 10", ">= 5000"],
  ["sqlite.submits_per_s", "tasks/s", "submitted in batches of 1000", nil],
  ["handoff.idle.p50_us", "us", "channel to handler, idle, p50", "<= 60"],
  ["handoff.idle.p99_us", "us", "channel to handler, idle, p99", nil],
  ["handoff.busy.steps_per_s", "steps/s", "no-op steps beside 2 CPU-bound handlers", nil],
  ["handoff.quiet.steps_per_s", "steps/s", "the same without them", nil],
  ["handoff.busy.share", "", "busy / quiet", ">= 0.5"],
  ["telemetry.off.steps_per_s", "steps/s", "telemetry off", nil],
  ["telemetry.console.steps_per_s", "steps/s", "console only", nil],
  ["telemetry.export.steps_per_s", "steps/s", "exported to a local OTLP sink", nil],
  ["telemetry.export.cost_percent", "%", "export against console only", "<= 25"],
  ["telemetry.export.spans_per_step", "spans", "that reached the sink, for each step", nil],
  ["overhead.ruby_span_ns", "ns", "a span from Ruby, exported", "<= 5000"],
  ["overhead.ruby_nested_span_ns", "ns", "a span from Ruby inside another one", nil],
  ["overhead.ruby_log_ns", "ns", "a line from Ruby, to OTLP and to a file", nil],
  ["overhead.ruby_filtered_log_ns", "ns", "a line from Ruby below the level", "<= 1000"],
  ["overhead.rust_span_ns", "ns", "a span from Rust, exported", nil],
  ["overhead.rust_log_ns", "ns", "a line from Rust, to OTLP and to a file", nil],
  ["phase1_ms", "ms", "telemetry, Phase 1", "<= 1"],
  ["phase2_ms", "ms", "telemetry, Phase 2", "<= 10"],
  ["rss_mb", "MB", "resident memory of a worker process", nil]
].freeze

# The median of several fresh processes.
def rounds(name)
  runs = Array.new(%w[telemetry overhead start].include?(name) ? 1 : Integer(ENV.fetch("ROUNDS", "3"))) do
    Runner.figures(name).tap { |figures| warn "#{name}: #{JSON.generate(figures)}" }
  end
  runs.first.keys.to_h { |key| [key, Runner.median(runs.map { |run| run.fetch(key) })] }
end

def verdict(value, floor)
  return unless floor

  comparison, bound = floor.split
  value.public_send(comparison, bound.to_f) ? "ok (#{floor})" : "MISSED (#{floor})"
end

only = ENV.fetch("ONLY", nil)
abort "bench: ONLY is one of #{BENCHMARKS.join(', ')}" if only && !BENCHMARKS.include?(only)

figures = (only ? [only] : BENCHMARKS).map { |name| rounds(name) }.reduce({}, :merge)

puts
TABLE.each do |key, unit, what, floor|
  next unless (value = figures[key])

  puts format("%-32s %12.3f %-8s %-42s %s", key, value, unit, what, verdict(value, floor)).rstrip
end

if (path = ENV.fetch("JSON", nil))
  File.write(path, "#{JSON.pretty_generate(figures.transform_values { |value| value.round(3) })}\n")
  puts "", "written to #{path}"
end
