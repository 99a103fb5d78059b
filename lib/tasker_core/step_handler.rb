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
  class StepHandler
    # @param step [StepContext]
    # @return [Object] the result
    def call(_step)
      raise NotImplementedError, "#{self.class} does not define call(step)"
    end
  end
end
