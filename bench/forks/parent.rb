# frozen_string_literal: true

# The parent of many children, under load: a worker runs tasks, handlers open spans and log, and meanwhile the
# process forks FORKS times, from several threads. Each child opens a span, logs, submits a task of its own, and
# ends. Where telemetry goes is set by the environment. Prints one line of JSON and ends with 0 when every child did.
#
#     FORKS=300 ruby -Ilib bench/forks/parent.rb DATABASE

require "json"
require "tasker_core"

TaskerCore.configure do |config|
  config.database = ARGV.fetch(0)
  config.template_paths = []
  config.handlers = { "work" => lambda do |step|
    TaskerCore.span("work", step: step.step_name) { TaskerCore.logger.info("working", token: "secret") }
    nil
  end }
end
TaskerCore.template("load", namespace: "load") do
  step :one, handler: "work"
  step :two, handler: "work", depends_on: :one
end

forks = Integer(ENV.fetch("FORKS", "30"))
numbers = Queue.new
forks.times { |number| numbers << number }
numbers.close
TaskerCore::Worker.start(concurrency: 2)

done = false
load = Thread.new do
  requests = Array.new(10) { { name: "load", namespace: "load" } }
  TaskerCore.submit_all(requests).each { |task| task.wait(timeout: 60) } until done
end

child = lambda do |number|
  TaskerCore.span("child", number: number) do
    TaskerCore.logger.info("from the child", number: number)
    TaskerCore.submit("load", {}, namespace: "load")
  end
end

failed = Queue.new
forkers = Array.new(2) do
  Thread.new do
    while (number = numbers.pop)
      pid = TaskerCore.span("parent", number: number) { fork { child.call(number) } }
      failed << number unless Process.wait2(pid).last.success?
    end
  end
end
forkers.each(&:join)
done = true
load.join
TaskerCore.shutdown
puts JSON.generate(forks: forks, failed: failed.size)
exit(failed.empty?)
