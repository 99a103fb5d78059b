# frozen_string_literal: true

# Runs the benchmarks, each in a process of its own, and prints one table.
#
#     rake bench                     all of them
#     rake bench ONLY=handoff        one of them: linear4, throughput, handoff, telemetry, overhead, start,
#                                    two_processes, waiters, wide, subscribers, scaling
#     rake bench JSON=figures.json   writes the figures to a file too, as flat keys
#     ROUNDS=3 TASKS=2000 rake bench
#
# Those of PostgreSQL run on a throw-away server (bin/postgres), or on TEST_DATABASE_URL's, each in an empty database.

require_relative "psql"
require_relative "runner"

BENCHMARKS = %w[linear4 throughput handoff telemetry overhead start two_processes waiters wide subscribers
                scaling].freeze
ON_POSTGRES = %w[two_processes waiters wide subscribers scaling].freeze
ONCE = %w[telemetry overhead start].freeze
WORKERS = [1, 2, 4, 8].freeze

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
  ["telemetry.export_over_off", "", "steps/s with export over those without", ">= 0.85"],
  ["telemetry.export.spans_dropped", "spans", "dropped in all rounds", "<= 0"],
  ["telemetry.export.spans_per_step", "spans", "that reached the sink, for each step", nil],
  ["overhead.ruby_span_ns", "ns", "a span from Ruby, exported", "<= 5000"],
  ["overhead.ruby_nested_span_ns", "ns", "a span from Ruby inside another one", nil],
  ["overhead.ruby_log_ns", "ns", "a line from Ruby, to OTLP and to a file", nil],
  ["overhead.ruby_filtered_log_ns", "ns", "a line from Ruby below the level", "<= 1000"],
  ["overhead.rust_span_ns", "ns", "a span from Rust, exported", nil],
  ["overhead.rust_log_ns", "ns", "a line from Rust, to OTLP and to a file", nil],
  ["phase1_ms", "ms", "telemetry, Phase 1", "<= 0.2"],
  ["phase2_ms", "ms", "telemetry, Phase 2", "<= 2"],
  ["rss_mb", "MB", "resident memory of a worker process", "<= 45"],
  *%w[sqlite postgres].flat_map do |store|
    [["#{store}.two_processes.p50_ms", "ms", "4-step task, submitter and worker apart, p50", nil],
     ["#{store}.two_processes.p99_ms", "ms", "the same, p99", nil],
     ["#{store}.one_process.p50_ms", "ms", "the same in one process, p50", nil],
     ["#{store}.two_processes.p50_ratio", "", "apart / in one", "<= 1.5"],
     ["#{store}.waiters.queries_per_task", "queries", "of 200 waiters, for each task that ends", "<= 1"],
     ["#{store}.one_waiter.queries_per_task", "queries", "of one waiter, for 200 tasks", nil],
     ["#{store}.waiters.cpu_us_per_task", "us", "of 200 waiters, for each task that ends", nil],
     ["#{store}.one_waiter.cpu_us_per_task", "us", "of one waiter, for 200 tasks", nil],
     ["#{store}.wide.steps", "steps", "of one task, all at once", nil],
     ["#{store}.wide.cpu_us", "us", "processor time for each of them", nil],
     ["#{store}.wide.small_cpu_us", "us", "for each of as many in tasks of 4", nil],
     ["#{store}.wide.ratio", "", "wide / small", "<= 3"],
     ["#{store}.subscribers.events_per_s", "events/s", "handled by one group, in one thread", ">= 10000"],
     ["#{store}.subscribers.elsewhere_p50_ms", "ms", "an event to another process's subscriber, p50", "<= 20"],
     ["#{store}.subscribers.elsewhere_p99_ms", "ms", "the same, p99", nil],
     ["#{store}.subscribers.step_p99_us", "us", "channel to handler, beside slow and hanging subscribers, p99", nil],
     ["#{store}.subscribers.step_alone_p99_us", "us", "the same without subscribers", nil],
     ["#{store}.subscribers.step_p99_ratio", "", "beside / alone", "<= 1.1"]]
  end,
  *WORKERS.flat_map do |count|
    [["postgres.workers#{count}.steps_per_s", "steps/s", "#{count} worker processes on one server", nil],
     ["postgres.workers#{count}.server_us", "us", "processor time of the server for each step", nil],
     ["postgres.workers#{count}.worker_us", "us", "processor time of the workers for each step", nil]]
  end,
  ["postgres.workers.eight_over_one", "", "steps/s of eight / of one", ">= 1"]
].freeze

# What one benchmark is run as: its name and its environment.
def runs_of(name)
  return WORKERS.map { |count| [name, { "WORKERS" => count.to_s }, true] } if name == "scaling"

  ON_POSTGRES.include?(name) ? [[name, {}, false], [name, {}, true]] : [[name, {}, false]]
end

def figures_of(name, env, on_postgres)
  return Runner.figures(name, env) unless on_postgres

  Psql.with_database(ENV.fetch("TEST_DATABASE_URL")) do |url|
    Runner.figures(name, env.merge("BENCH_DATABASE_URL" => url))
  end
end

# The medians of several fresh processes, which take turns.
def rounds(name)
  runs = Array.new(ONCE.include?(name) ? 1 : Integer(ENV.fetch("ROUNDS", "3"))) do
    runs_of(name).reduce({}) { |found, run| found.merge(figures_of(*run)) }
                 .tap { |figures| warn "#{name}: #{JSON.generate(figures)}" }
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

chosen = only ? [only] : BENCHMARKS
if (chosen & ON_POSTGRES).any? && ENV["TEST_DATABASE_URL"].to_s.empty?
  exec(File.expand_path("../bin/postgres", __dir__), "run", RbConfig.ruby, "-Ilib", __FILE__)
end

figures = chosen.map { |name| rounds(name) }.reduce({}, :merge)

one, eight = figures.values_at("postgres.workers1.steps_per_s", "postgres.workers8.steps_per_s")
figures["postgres.workers.eight_over_one"] = eight / one if one && eight

puts
judged = TABLE.filter_map do |key, unit, what, floor|
  next unless (value = figures[key])

  verdict(value, floor).tap do |said|
    puts format("%-32s %12.3f %-8s %-42s %s", key, value, unit, what, said).rstrip
  end
end

if (path = ENV.fetch("JSON", nil))
  File.write(path, "#{JSON.pretty_generate(figures.transform_values { |value| value.round(3) })}\n")
  puts "", "written to #{path}"
end

exit 1 if judged.any? { |said| said.start_with?("MISSED") }
