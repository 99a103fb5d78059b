# frozen_string_literal: true

# One process of bench/event_chaos.rb: `worker`, `subscriber`, or `submit COUNT`. What handlers of events have done is a
# line in the file LOG: group, key, number, event id.

require "tasker_core"

Thread.report_on_exception = false
STEPS = 3
LOG = File.open(ENV.fetch("LOG"), "ab")

TaskerCore.configure do |config|
  config.database = ENV.fetch("CHAOS_DATABASE")
  config.template_paths = []
  config.lease_seconds = 1
  config.handlers = { "publish" => lambda do |step|
    sleep(Float(ENV.fetch("HANDLER_MS", "0")) / 1000)
    { n: Integer(step.step_name[/\d+/]) }
  end }
end

# Says what it got, after it has failed now and then.
class Witness < TaskerCore::EventSubscriber
  def handle(event)
    raise "again" if rand < 0.02

    LOG.syswrite("#{self.class.subscription.group} #{event.metadata[:task_uuid]} #{event.payload[:n]} " \
                 "#{event.event_id}\n")
  end
end

# In the order of each task.
class Ordered < Witness
  subscribes_to "chaos.*", group: "ordered", from: :beginning, ordered: true, concurrency: 4, lease: 0.5,
                           retry: { max_attempts: 100, base: 0.01, cap: 0.1 }
end

# In any order.
class Unordered < Witness
  subscribes_to "chaos.*", group: "unordered", from: :beginning, concurrency: 2, lease: 0.5,
                           retry: { max_attempts: 100, base: 0.01, cap: 0.1 }
end

def template
  steps = (1..STEPS).map do |n|
    { name: "step#{n}", handler: "publish", dependencies: n > 1 ? ["step#{n - 1}"] : [],
      retry: { max_attempts: 100, backoff: "none" },
      publishes_events: [{ name: "chaos.step", key: "{/input/key}" }] }
  end
  TaskerCore.engine.add_template("chaos", JSON.generate(name: "chaos", steps: steps), "json")
end

template
case ARGV[0]
when "worker" then TaskerCore::Worker.run(concurrency: 4, subscribers: false)
when "subscriber" then TaskerCore::EventSubscriber.run
when "submit"
  Integer(ARGV[1]).times.each_slice(500) do |slice|
    TaskerCore.submit_all(slice.map { |n| { name: "chaos", context: { key: "key-#{n}" } } })
  end
end
