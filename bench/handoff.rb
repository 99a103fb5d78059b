# frozen_string_literal: true

# (c) The way of an event from the engine's channel to its handler. Idle: one task at a time, from the
# moment the event enters the channel to the handler's first line. Busy: no-op steps a second while two
# other handlers compute without pause.

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
  TaskerCore.template("stopwatch", namespace: "bench") { step :only, handler: Stopwatch }
  run = -> { TaskerCore.submit("stopwatch", {}, namespace: "bench").wait(timeout: 10) }
  50.times(&run)
  Stopwatch::SAMPLE.clear
  Integer(ENV.fetch("TASKS", "1000")).times(&run)
  Stopwatch::SAMPLE
end

busy = lambda do
  TaskerCore.template("burner", namespace: "bench") { step :only, handler: Burner }
  Stand.linear(4)
  burners = Array.new(2) { TaskerCore.submit("burner", {}, namespace: "bench", priority: 10) }
  burners.each { Burner::RUNNING.pop }
  tasks = Integer(ENV.fetch("BUSY_TASKS", "5000"))
  submitted = Stand.fill(tasks, "linear4")
  seconds = Stand.drain(submitted, tasks * 4, worker: -> {})
  Burner.stop = true
  burners.each { |burner| burner.wait(timeout: 10) }
  tasks * 4 / seconds
end

Stand.measure do
  TaskerCore::Worker.start
  sample = idle.call
  { "handoff.idle.p50_us" => Stand.percentile(sample, 0.5), "handoff.idle.p99_us" => Stand.percentile(sample, 0.99),
    "handoff.busy.steps_per_s" => busy.call }
end
