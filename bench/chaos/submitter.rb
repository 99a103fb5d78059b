# frozen_string_literal: true

require_relative "ledger"
require_relative "work"

module Chaos
  # Submits tasks, spread over some seconds, so that outages fall among them, and writes down what is acknowledged.
  # Asks again and again until a batch is; the idempotency keys make that harmless.
  class Submitter
    BATCH = 50

    def initialize(ledger)
      @ledger = ledger
      @refused = 0
    end

    def run(numbers, seconds)
      batches = numbers.each_slice(BATCH).to_a
      batches.each do |batch|
        submit(batch)
        sleep seconds / batches.size
      end
      puts "#{numbers.size} tasks are acknowledged; #{@refused} batches were refused and asked again"
    end

    def submit(numbers)
      requests = numbers.map { |number| request(number) }
      @ledger.acknowledge(numbers.zip(TaskerCore.submit_all(requests).map(&:task_uuid)).to_h)
    rescue TaskerCore::Error => e
      @refused += 1
      warn "submission refused: #{e.class}: #{e.message}"
      sleep 0.2
      retry
    end

    private

    def request(number)
      { name: Work::NAME, namespace: Work::NAMESPACE, context: { number: number }, idempotency_key: Work.key(number) }
    end
  end
end
