# frozen_string_literal: true

require_relative "ledger"
require_relative "work"

module Chaos
  # Does what operators do: cancels tasks, and reruns and resolves those that failed; writes down what came of it. It
  # asks until it is told, as one does whose answer was lost.
  class Operator
    # Tasks it looks at in one go.
    ROUND = 50

    def initialize(ledger)
      @ledger = ledger
    end

    # For some seconds; another one goes on where this one stops.
    def run(seconds)
      deadline = now + seconds
      until now > deadline
        todo.first(ROUND).each { |number, uuid| attend(number, TaskerCore.task(uuid)) }
        sleep 0.1
      end
    rescue TaskerCore::StoreError => e
      warn "the operator was refused: #{e.class}: #{e.message}"
      sleep 0.2
      retry
    end

    private

    def todo
      done = @ledger.outcomes
      @ledger.acknowledged.filter_map do |number, uuids|
        [number, uuids.first] if Work.remedy(number) && !done.key?(number)
      end.shuffle
    end

    def attend(number, task)
      over = task.final? && task.state != "error"
      return @ledger.outcome(number, task.state) if over

      case Work.remedy(number)
      when :cancel then @ledger.outcome(number, task.cancel)
      when :rerun then rerun(number, task) if task.state == "error"
      when :resolve_step then resolve(number, task) if task.state == "error"
      when :resolve_task then @ledger.outcome(number, task.resolve.state) if task.state == "error"
      end
    rescue TaskerCore::IllegalTransitionError
      nil # it went on in between: the next look tells
    end

    # A later look tells its outcome: whatever becomes of the workers, the task is to complete.
    def rerun(number, task)
      @ledger.cure(number)
      task.rerun("third")
    end

    def resolve(number, task)
      task.resolve("third", result: { nonce: Work.operators_nonce(number) })
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
