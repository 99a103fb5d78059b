# frozen_string_literal: true

# (d) The throughput of (b) with telemetry off, on the console only (the default, to a file), and exported
# to a local OTLP sink. Each run is a process of its own; the variants take turns, and what is printed is
# the median of their rounds.

require "json"
require "open3"
require "tempfile"
require_relative "runner"

# Runs the variants round by round.
class TelemetryBench
  VARIANTS = {
    "off" => { "LOG_LEVEL" => "off", "TELEMETRY_ENABLED" => "false" },
    "console" => { "LOG_LEVEL" => nil, "DEPLOYMENT_ENVIRONMENT" => "production", "TELEMETRY_ENABLED" => "false" },
    "export" => { "LOG_LEVEL" => nil, "DEPLOYMENT_ENVIRONMENT" => "production", "TELEMETRY_ENABLED" => "true" }
  }.freeze

  def run
    speeds = Hash.new { |hash, key| hash[key] = [] }
    rounds = Integer(ENV.fetch("ROUNDS", "5"))
    rounds.times do |round|
      order = VARIANTS.keys.rotate(round)
      order.each do |name|
        speeds[name] << speed(name)
        warn format("telemetry round %d/%d %-8s %8.0f steps/s", round + 1, rounds, name, speeds[name].last)
      end
    end
    figures = VARIANTS.keys.to_h { |name| ["telemetry.#{name}.steps_per_s", Runner.median(speeds[name])] }
    figures.merge(cost(figures), @exported)
  end

  private

  def cost(figures)
    off, base, exported = VARIANTS.keys.map { |name| figures.fetch("telemetry.#{name}.steps_per_s") }
    { "telemetry.export.cost_percent" => (1 - (exported / base)) * 100, "telemetry.export_over_off" => exported / off,
      "telemetry.export.spans_dropped" => @dropped }
  end

  def speed(name)
    return throughput(VARIANTS[name]) unless name == "export"

    Runner.with_sink do |endpoint, counts|
      speed = throughput(VARIANTS[name].merge("OTEL_EXPORTER_OTLP_ENDPOINT" => endpoint))
      spans = counts.call.fetch("spans")
      @exported = { "telemetry.export.spans_per_step" => spans.to_f / (Runner.tasks * 4) }
      speed
    end
  end

  def throughput(env)
    figures = Runner.figures("throughput", env)
    @dropped = @dropped.to_i + figures.fetch("sqlite.spans_dropped")
    figures.fetch("sqlite.steps_per_s")
  end
end

puts JSON.generate(TelemetryBench.new.run)
