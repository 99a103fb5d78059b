# frozen_string_literal: true

# (c) The way of an event from the engine's channel to its handler. Idle: one task at a time, from the
# moment the event enters the channel to the handler's first line. Busy: no-op steps a second while two
# other handlers compute without pause; quiet: the same without them.

require_relative "stand"

# Notes how long its event took.
class Stopwatch < TaskerCore::StepHandler
  SAMPLE = [] # rubocop:disable Style/MutableConstant

  def call(step)
    now = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
    # Not for applications, so the context does not show it.
    SAMPLE << (now - step.instance_variable_get(:@event).fetch(:dispatched_at_us))
    nil
  end
end

# Computes until it is told to stop.
class Burner < TaskerCore::StepHandler
  RUNNING = Queue.new
  class << self
    attr_accessor :stop
  end

  def call(_step)
    RUNNING << true
    number = 1
    number = ((number * 1_103_515_245) + 12_345) % 2_147_483_648 until Burner.stop
    number
  end
end

idle = lambda do
  TaskerCore.template("stopwatch", namespace: "bench") do
    step :only, handler: Stopwatch, retry: { max_attempts: 1 }
  end
  run = lambda do |_number|
    task = TaskerCore.submit("stopwatch", {}, namespace: "bench").wait(timeout: 10)
    abort "handoff: #{task.error}" unless task.complete?
  end
  50.times(&run)
  Stopwatch::SAMPLE.clear
  Integer(ENV.fetch("TASKS", "1000")).times(&run)
  Stopwatch::SAMPLE
end

# The pace of no-op steps, with and without two CPU-bound handlers beside them. Everything is queued before
# the worker starts.
pace = lambda do |burners|
  tasks = Integer(ENV.fetch("PACE_TASKS", "30000"))
  Burner.stop = false
  burning = Array.new(burners) { TaskerCore.submit("burner", {}, namespace: "bench", priority: 10) }
  Stand.fill(tasks, "linear4")
  TaskerCore::Worker.start(concurrency: Stand::CONCURRENCY)
  burners.times { Burner::RUNNING.pop }
  Stand.pace(Float(ENV.fetch("SECONDS", "4")), tasks * 4).tap do
    Burner.stop = true
    burning.each { |task| task.wait(timeout: 60) }
    TaskerCore.shutdown # what is left stays where it is
  end
end

Stand.measure do
  TaskerCore.template("burner", namespace: "bench") { step :only, handler: Burner }
  Stand.linear(4)
  TaskerCore::Worker.start
  sample = idle.call
  TaskerCore.shutdown
  busy = pace.call(2)
  TaskerCore.configuration.database += ".quiet"
  quiet = pace.call(0)
  { "handoff.idle.p50_us" => Stand.percentile(sample, 0.5), "handoff.idle.p99_us" => Stand.percentile(sample, 0.99),
    "handoff.busy.steps_per_s" => busy, "handoff.quiet.steps_per_s" => quiet, "handoff.busy.share" => busy / quiet }
end
