# frozen_string_literal: true

module TaskerCore
  # The superclass of publisher classes, which make the payload of an event that a template declares:
  #
  #     class PaymentEvents < TaskerCore::BasePublisher
  #       def transform_payload(step_result, declaration, step_context)
  #         { order_id: step_context.input[:order_id], amount: step_result[:result][:amount] }
  #       end
  #     end
  #
  #     step :charge, handler: ChargePayment, publishes: [{ name: "payment.processed", publisher: PaymentEvents }]
  #
  # A new instance makes each payload, in the handler's thread, before the attempt is completed. If it raises, the
  # attempt fails as if the handler had raised.
  class BasePublisher
    # @param step_result [JsonHash] success, result (as steps that depend on this one see it), error (class, message,
    #   code, field; nil if the attempt succeeded), metadata (attempt_number, execution_time_ms)
    # @param declaration [JsonHash] name, condition and publisher of the declaration
    # @param step_context [StepContext]
    # @return [Hash] the payload: anything that JSON can represent
    def transform_payload(step_result, _declaration, _step_context)
      step_result[:result] || {}
    end
  end
end
