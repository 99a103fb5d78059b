# frozen_string_literal: true

# A process of bench/chaos.rb: `submit` submits the tasks, whatever becomes of the database meanwhile; `worker` works on
# them until it is stopped, and keeps telling a file of its own how many completions its engine has refused.

require "securerandom"
require "tasker_core"
require_relative "../crash/witness"
require_relative "work"

# Tells the witness log and the store the same. What it returns names the run before it, as that was stored.
class Testify < TaskerCore::StepHandler
  LOG = File.open(ENV.fetch("WITNESS"), File::WRONLY | File::APPEND)
  SECONDS = Float(ENV.fetch("HANDLER_MS")) / 1000

  def call(step)
    nonce = SecureRandom.hex(8)
    LOG.syswrite(format(Witness::FORMAT, step.task_uuid, step.step_name, step.attempt, Process.pid, nonce))
    sleep rand * 2 * SECONDS
    misbehave(step, step.input["number"])
    { attempt: step.attempt, pid: Process.pid, nonce: nonce, after: before(step) }
  end

  private

  def misbehave(step, number)
    raise TaskerCore::PermanentError.new("never", code: "NEVER") if step.step_name == "third" && Work.fails?(number)
    return unless step.step_name == "second" && Work.retries?(number) && step.attempt <= 2

    raise TaskerCore::RetryableError.new("not yet", retry_after: 0.1)
  end

  def before(step)
    position = Work::STEPS.index(step.step_name)
    step.dependency(Work::STEPS[position - 1])["nonce"] if position.positive?
  end
end

TaskerCore.configure { |config| config.template_paths = [] }
TaskerCore.template Work::NAME, namespace: Work::NAMESPACE do
  Work::STEPS.each_with_index do |name, position|
    step name, handler: Testify, depends_on: position.zero? ? [] : Work::STEPS[position - 1],
               retry: { max_attempts: 100, backoff: :none }
  end
end

# Asks again and again until a batch is acknowledged; the idempotency keys make that harmless.
def submit(numbers)
  requests = numbers.map do |number|
    { name: Work::NAME, namespace: Work::NAMESPACE, context: { number: number }, idempotency_key: Work.key(number) }
  end
  refused = 0
  begin
    TaskerCore.submit_all(requests)
  rescue TaskerCore::Error => e
    refused += 1
    warn "submission refused: #{e.class}: #{e.message}"
    sleep 0.2
    retry
  end
  refused
end

# The batches are spread over some seconds, so that outages fall among them.
def submit_slowly(tasks, seconds)
  batches = (1..tasks).each_slice(100).to_a
  refused = batches.sum { |batch| submit(batch).tap { sleep seconds.to_f / batches.size } }
  puts "#{tasks} tasks are acknowledged; #{refused} batches were refused and asked again"
end

def tell(path)
  loop do
    text = TaskerCore.status.dig(:totals, :stale_completions).to_s
    File.write("#{path}.new", text)
    File.rename("#{path}.new", path)
    sleep 0.1
  end
rescue TaskerCore::Error => e
  warn "status: #{e.class}: #{e.message}"
  sleep 0.1
  retry
end

case ARGV
in ["submit", tasks, seconds] then submit_slowly(Integer(tasks), Integer(seconds))
in ["worker", lease, path]
  worker = TaskerCore::Worker.start(signals: :exit, concurrency: 10, lease_seconds: Float(lease))
  teller = Thread.new { tell(path) }
  worker.join
  teller.kill.join
  worker.stop
else abort "usage: process.rb submit TASKS SECONDS | worker LEASE_SECONDS FILE"
end
