# frozen_string_literal: true

# Owns: a worker of bench/verify_alerts, whose handlers do as their task says. Told what to submit by lines on its
# standard input; answers each with a line of JSON.
#
#     ruby -Ilib bench/verify/alerts/worker.rb DATABASE NAMESPACE
#
#     submit COUNT TASK {"ms": 5}    tasks of its namespace, or of another one as namespace/task
#     many COUNT                     as many kinds of task, one of each, and waits for them
#     trickle MS                     one short task after the other with that pause between them; 0 ends it
#     release                        lets all `hold`ing handlers go
# Refuses: anything that is not an ordinary call of the gem.

require "json"
require "tasker_core"

database, NAMESPACE = ARGV
CONCURRENCY = 4
STEPS = 5

# What the tasks ask for.
class Act < TaskerCore::StepHandler
  @releases = 0
  class << self
    attr_accessor :releases
  end

  def call(step)
    act(step.input.transform_keys(&:to_s))
    { done: true }
  end

  private

  def act(input)
    sleep input["ms"] / 1000.0 if input["ms"]
    raise TaskerCore::PermanentError, "as ordered" if input["fail"]

    spin(input["spin"]) if input["spin"]
    hold if input["hold"]
  end

  # Until the next release.
  def hold
    seen = Act.releases
    sleep 0.02 until Act.releases > seen
  end

  def spin(seconds)
    ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    nil while Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends
  end
end

def submit(count, task, input)
  *namespace, name = task.split("/")
  count.times { TaskerCore.submit(name, input, namespace: namespace.first || NAMESPACE) }
end

# Each of its handlers has a name, and series, of its own.
def many(count)
  tasks = Array.new(count) do |number|
    TaskerCore.template("kind#{number}", namespace: NAMESPACE) do
      STEPS.times { |step| step(:"step#{step}", handler: "Act#{step}") }
    end
    TaskerCore.submit("kind#{number}", {}, namespace: NAMESPACE)
  end
  tasks.each { |task| task.wait(timeout: 60) }
end

# A database that is away is what some of this is about.
def trickle(pause)
  $trickle&.kill # rubocop:disable Style/GlobalVars
  return if pause.zero?

  $trickle = Thread.new do # rubocop:disable Style/GlobalVars
    loop do
      submit(1, "act", { ms: 1 })
    rescue TaskerCore::Error
      nil
    ensure
      sleep pause
    end
  end
end

def obey(words)
  case words
  in ["submit", count, task, input] then submit(Integer(count), task, JSON.parse(input))
  in ["many", count] then many(Integer(count))
  in ["trickle", milliseconds] then trickle(Integer(milliseconds) / 1000.0)
  in ["release"] then Act.releases += 1
  end
end

TaskerCore.configure do |config|
  config.database = database
  config.template_paths = []
  config.lease_seconds = 2
  config.handlers = Array.new(STEPS) { |step| ["Act#{step}", Act] }.to_h
end
# Who serves the odd ones has the template from the database alone.
([NAMESPACE, "odd"] unless NAMESPACE == "odd")&.each do |namespace|
  TaskerCore.template("act", namespace: namespace) { step :act, handler: Act }
end
TaskerCore::Worker.start(concurrency: CONCURRENCY, namespaces: [NAMESPACE])
$stdout.sync = true
puts JSON.generate(ready: true)
while (line = $stdin.gets)
  obey(line.chomp.split(" ", 4))
  puts JSON.generate(done: line.chomp)
end
TaskerCore.shutdown
