# frozen_string_literal: true

module Chaos
  # What the tasks do, what operators do to them, and how each must end. A task's number says which kind it is.
  module Work
    STEPS = %w[first second third fourth].freeze
    NAME = "testimony"
    NAMESPACE = "chaos"
    # What an operator does with the tasks that fail, one after the other; nothing to some.
    REMEDIES = [nil, :rerun, :resolve_step, :resolve_task].freeze
    DONE = %w[complete] * STEPS.size
    FAILED = %w[complete complete error pending].freeze
    # Task and steps, for those whose third step fails.
    ENDS = { nil => ["error", FAILED], resolve_task: ["resolved_manually", FAILED], rerun: ["complete", DONE],
             resolve_step: ["complete", %w[complete complete resolved_manually complete]] }.freeze

    class << self
      # Its third step raises PermanentError, until an operator has removed the cause.
      def fails?(number)
        (number % 20).zero?
      end

      # Its second step raises RetryableError as long as it has had fewer than two attempts.
      def retries?(number)
        [7, 14].include?(number % 20)
      end

      # An operator cancels it as soon as it is acknowledged; it may be over by then.
      def cancelled?(number)
        number % 20 == 11
      end

      # @return [Symbol, nil] cancel, rerun, resolve_step, resolve_task
      def remedy(number)
        return :cancel if cancelled?(number)

        REMEDIES[number / 20 % REMEDIES.size] if fails?(number)
      end

      # @param outcome [String, nil] the state that an operator was told, if one asked for something
      # @return [String] the state its task must end in
      def task_state(number, outcome)
        return outcome if cancelled?(number)

        fails?(number) ? ENDS.fetch(remedy(number)).first : "complete"
      end

      # @param states [Array<String>] those its steps have ended in
      def right_steps?(number, outcome, states)
        return states == (fails?(number) ? ENDS.fetch(remedy(number)).last : DONE) unless outcome == "cancelled"

        rest = states.drop_while { |state| state == "complete" }
        states.size == STEPS.size && rest.any? && rest.all?("cancelled")
      end

      def key(number)
        "chaos-#{number}"
      end

      def number(key)
        Integer(key.delete_prefix("chaos-"))
      end

      # What an operator gives as the third step's result, in the place of a run's.
      def operators_nonce(number)
        "operator-#{number}"
      end
    end
  end
end
