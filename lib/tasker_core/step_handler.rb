# frozen_string_literal: true

module TaskerCore
  # The superclass of handlers. A new instance runs each attempt.
  #
  #     class ChargeCard < TaskerCore::StepHandler
  #       def call(step)
  #         { receipt: Gateway.charge(step.dependency(:cart)[:total]) }
  #       end
  #     end
  #
  # What `call` returns is the step's result: anything that JSON can represent. What it raises fails the attempt:
  # {PermanentError} fails the step, anything else is retried while attempts are left. {RetryableError} says when.
  #
  # A handler may define `handle(task, sequence, step)` in place of `call(step)`: it gets a {RunningTask}, a
  # {StepSequence} and the {StepContext}, and may set the result with `step.results = { … }`.
  class StepHandler
    # @param step [StepContext]
    # @return [Object] the result
    def call(_step)
      raise NotImplementedError, "#{self.class} does not define call(step) or handle(task, sequence, step)"
    end
  end
end
