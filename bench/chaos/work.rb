# frozen_string_literal: true

# What the tasks of bench/chaos.rb do, and how each of them must end. Its number says which kind it is.
module Work
  STEPS = %w[first second third fourth].freeze
  NAME = "testimony"
  NAMESPACE = "chaos"

  class << self
    # Its third step raises PermanentError: it must end in error, with its fourth step never begun.
    def fails?(number)
      (number % 20).zero?
    end

    # Its second step raises RetryableError as long as it has had fewer than two attempts.
    def retries?(number)
      [7, 14].include?(number % 20)
    end

    # @return [String] the state its task must end in
    def task_state(number)
      fails?(number) ? "error" : "complete"
    end

    # @return [Array<String>] the states its steps must end in
    def step_states(number)
      fails?(number) ? %w[complete complete error pending] : %w[complete] * STEPS.size
    end

    def key(number)
      "chaos-#{number}"
    end

    def number(key)
      Integer(key.delete_prefix("chaos-"))
    end
  end
end
