# frozen_string_literal: true

# (b) Steps a second with thousands of no-op steps queued: the tasks are all submitted first, then the
# worker starts. Counts from the worker's start to the last task's end.

require_relative "stand"

Stand.measure do
  tasks = Integer(ENV.fetch("TASKS", "10000"))
  Stand.linear(4)
  began = Stand.now
  submitted = Stand.fill(tasks, "linear4")
  submit_seconds = Stand.now - began
  seconds = Stand.drain(submitted)
  TaskerCore::Telemetry.flush
  dropped = TaskerCore::Native.metrics_text[/^tasker_telemetry_spans_dropped_total (\d+)/, 1].to_i
  { "#{Stand.store}.steps_per_s" => tasks * 4 / seconds, "#{Stand.store}.submits_per_s" => tasks / submit_seconds,
    "#{Stand.store}.spans_dropped" => dropped }
end
