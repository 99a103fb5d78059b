# frozen_string_literal: true

# (e) What starting costs: both phases of telemetry in a process that has done nothing else, with an
# exporter to arm, and the memory of a Ruby process with a worker that has run some tasks.

require_relative "runner"
require_relative "stand"

phases = Runner.with_sink do |endpoint, _counts|
  env = { "TELEMETRY_ENABLED" => "true", "OTEL_EXPORTER_OTLP_ENDPOINT" => endpoint }
  runs = Array.new(Integer(ENV.fetch("ROUNDS", "5"))) do
    out, status = Open3.capture2(env, Runner.example("phases"), err: File::NULL)
    abort "bench: phases failed" unless status.success?
    JSON.parse(out)
  end
  %w[phase1_ms phase2_ms].to_h { |key| [key, Runner.median(runs.map { |run| run.fetch(key) })] }
end

Stand.measure do
  Stand.linear(4)
  TaskerCore::Worker.start
  100.times { TaskerCore.submit("linear4", {}, namespace: "bench").wait(timeout: 10) }
  phases.merge("rss_mb" => Stand.resident_mb)
end
