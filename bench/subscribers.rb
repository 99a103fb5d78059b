# frozen_string_literal: true

# (l) Durable subscribers. How many events a second one group handles, in one thread of Ruby; how long an event takes
# from its publication to a subscriber in another process; and what steps notice of subscribers that are slow, that hang
# and that fail: the way of a step's event from the engine's channel to its handler, with them and without, in turns.

require "rbconfig"
require_relative "stand"

ROUNDS = 6

# Publishes events outside of steps, in one transaction.
def publish(count, name: "bench.event")
  sent = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  events = Array.new(count) do |n|
    { name: name, namespace: "bench", payload: { n: n, sent: sent }, key: "k#{n % 100}" }
  end
  TaskerCore::Native.publish_events(JSON.generate(events))
end

# Counts.
class Counter < TaskerCore::EventSubscriber
  subscribes_to "bench.event", group: "counter", from: :beginning, ordered: true
  DONE = Queue.new
  class << self
    attr_accessor :left
  end

  def handle(_event)
    DONE << true if (Counter.left -= 1).zero?
  end
end

# Takes its time, hangs, or raises.
class Trouble < TaskerCore::EventSubscriber
  subscribes_to "bench.trouble", group: "trouble", from: :beginning, concurrency: 3,
                                 retry: { base: 0.2, max_attempts: 100 }

  def handle(event)
    case event.payload[:n]
    when 0 then Queue.new.pop
    when ->(n) { n % 3 == 1 } then raise "again"
    else sleep 0.02
    end
  end
end

# Notes how long its step's event took.
class Handoff < TaskerCore::StepHandler
  SAMPLE = [] # rubocop:disable Style/MutableConstant

  def call(step)
    now = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
    SAMPLE << (now - step.instance_variable_get(:@event).fetch(:dispatched_at_us))
  end
end

rate = lambda do
  count = Integer(ENV.fetch("EVENTS", "30000"))
  (count / 1000).times { publish(1000) }
  Counter.left = count
  began = Stand.now
  TaskerCore::EventSubscriber.start(only: [Counter])
  Counter::DONE.pop
  count / (Stand.now - began).tap { TaskerCore::EventSubscriber.stop }
end

OTHER = <<~RUBY
  $stdout.sync = true
  require "tasker_core"
  TaskerCore.configure { |config| config.database = ENV.fetch("OTHER"); config.template_paths = [] }
  class Other < TaskerCore::EventSubscriber
    subscribes_to "bench.other", group: "other", from: :beginning
    def handle(event) = puts((Process.clock_gettime(Process::CLOCK_MONOTONIC) - event.payload[:sent]) * 1000)
  end
  TaskerCore::EventSubscriber.run
RUBY

# From before the publication to the handler's first line.
elsewhere = lambda do
  command = [{ "OTHER" => TaskerCore.configuration.database }, RbConfig.ruby, "-I", File.expand_path("../lib", __dir__)]
  IO.popen([*command, "-e", OTHER]) do |other|
    sample = Array.new(Integer(ENV.fetch("TASKS", "500"))) do
      publish(1, name: "bench.other")
      Float(other.gets)
    end
    Process.kill(:TERM, other.pid)
    sample.drop(20)
  end
end

# With the worker's own subscribers, or without.
handoff = lambda do |subscribers|
  TaskerCore::Worker.start(subscribers: false)
  TaskerCore::EventSubscriber.start(only: [Trouble]) if subscribers
  Handoff::SAMPLE.clear
  (Integer(ENV.fetch("TASKS", "1000")) * 3 / ROUNDS).times do
    TaskerCore.submit("handoff", {}, namespace: "bench").wait(timeout: 10)
  end
  TaskerCore::Worker.stop(timeout: 0.1)
  Handoff::SAMPLE.drop(10)
end

Stand.measure do
  TaskerCore.template("handoff", namespace: "bench") { step :only, handler: Handoff }
  TaskerCore.engine.open
  publish(1, name: "bench.first")
  store = Stand.store
  events_per_s = rate.call
  times = elsewhere.call
  beside = []
  alone = []
  ROUNDS.times do
    alone.concat(handoff.call(false))
    publish(30, name: "bench.trouble")
    beside.concat(handoff.call(true))
  end
  p99, quiet = [beside, alone].map { |sample| Stand.percentile(sample, 0.99) }
  { "#{store}.subscribers.events_per_s" => events_per_s,
    "#{store}.subscribers.elsewhere_p50_ms" => Stand.percentile(times, 0.5),
    "#{store}.subscribers.elsewhere_p99_ms" => Stand.percentile(times, 0.99),
    "#{store}.subscribers.step_p99_us" => p99, "#{store}.subscribers.step_alone_p99_us" => quiet,
    "#{store}.subscribers.step_p99_ratio" => p99.fdiv(quiet) }
end
