# frozen_string_literal: true

# A process of bench/crash.rb: `submit N` submits the tasks, `worker` works on them until it is stopped.

require "securerandom"
require "tasker_core"
require_relative "witness"

# Tells the witness log and the store the same.
class Testify < TaskerCore::StepHandler
  LOG = File.open(ENV.fetch("WITNESS"), File::WRONLY | File::APPEND)

  def call(step)
    nonce = SecureRandom.hex(8)
    LOG.syswrite(format(Witness::FORMAT, step.task_uuid, step.step_name, step.attempt, Process.pid, nonce))
    { attempt: step.attempt, pid: Process.pid, nonce: nonce }
  end
end

TaskerCore.configure { |config| config.template_paths = [] }
TaskerCore.template "testimony", namespace: "crash" do
  retries = { max_attempts: 100, backoff: :none }
  step :first, handler: Testify, retry: retries
  step :second, handler: Testify, retry: retries, depends_on: :first
  step :third, handler: Testify, retry: retries, depends_on: :second
  step :fourth, handler: Testify, retry: retries, depends_on: :third
end

case ARGV.first
when "submit"
  Array.new(Integer(ARGV.fetch(1))) { |number| { name: "testimony", namespace: "crash", context: { number: number } } }
       .each_slice(1000) { |batch| TaskerCore.submit_all(batch) }
when "worker"
  TaskerCore::Worker.run(concurrency: 10)
else
  abort "usage: process.rb submit N | worker"
end
