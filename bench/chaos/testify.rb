# frozen_string_literal: true

require "securerandom"
require_relative "../crash/witness"
require_relative "ledger"
require_relative "work"

module Chaos
  # The handler: tells the witness log and the store the same. What it returns names the run before it, as that was
  # stored.
  class Testify < TaskerCore::StepHandler
    FOLDER = ENV.fetch("CHAOS_FOLDER")
    LOG = File.open(File.join(FOLDER, "witness.log"), File::WRONLY | File::APPEND)
    LEDGER = Ledger.new(FOLDER)
    SECONDS = Float(ENV.fetch("HANDLER_MS")) / 1000

    def self.template
      TaskerCore.template Work::NAME, namespace: Work::NAMESPACE do
        Work::STEPS.each_with_index do |name, position|
          # No attempt takes a minute, whatever clocks say.
          step name, handler: Testify, depends_on: position.zero? ? [] : Work::STEPS[position - 1],
                     timeout: 60, retry: { max_attempts: 100, backoff: :none }
        end
      end
    end

    def call(step)
      nonce = SecureRandom.hex(8)
      LOG.syswrite(format(Witness::FORMAT, step.task_uuid, step.step_name, step.attempt, Process.pid, nonce))
      sleep rand * 2 * SECONDS
      misbehave(step, step.input["number"])
      { attempt: step.attempt, pid: Process.pid, nonce: nonce, after: before(step) }
    end

    private

    def misbehave(step, number)
      if step.step_name == "third" && Work.fails?(number) && !LEDGER.cured?(number)
        raise TaskerCore::PermanentError.new("never", code: "NEVER")
      end
      return unless step.step_name == "second" && Work.retries?(number) && step.attempt <= 2

      raise TaskerCore::RetryableError.new("not yet", retry_after: number.odd? ? 0.1 : nil)
    end

    def before(step)
      position = Work::STEPS.index(step.step_name)
      step.dependency(Work::STEPS[position - 1])["nonce"] if position.positive?
    end
  end
end
