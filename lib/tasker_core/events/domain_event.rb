# frozen_string_literal: true

module TaskerCore
  module Events
    # A domain event, as subscribers get it: something of the application's business that has happened.
    #
    #     TaskerCore.on("order.*") { |event| Dashboard.add(event.name, event.payload[:order_id]) }
    class DomainEvent
      # @return [JsonHash] the whole message, as it is stored and as other languages read it
      attr_reader :message

      # @return [String, nil] the publisher's W3C traceparent, if the engine gave it
      attr_reader :traceparent

      # @param message [JsonHash]
      # @param traceparent [String, nil]
      def initialize(message, traceparent: nil)
        @message = message
        @traceparent = traceparent
        @metadata = message[:metadata] || JsonHash.new
      end

      # @return [String] a UUID of version 7; the same each time the event is delivered
      def event_id
        @message[:event_id]
      end

      # @return [String] "order.payment_processed"
      def name
        @message[:event_name]
      end
      alias event_name name

      # @return [String] of the message's form: "1.0"
      def event_version
        @message[:event_version]
      end

      # @return [JsonHash, nil] what was published
      def payload
        body[:payload]
      end

      # @return [JsonHash, nil] the context of the task, when a step published the event
      def task_context
        body.dig(:task_sequence_step, :context)
      end

      # @return [Object, nil] the step's result, when a step that succeeded published the event
      def step_result
        body.dig(:execution_result, :result)
      end

      # @return [JsonHash] task_uuid, step_uuid, step_name, namespace, correlation_id, fired_at, fired_by
      attr_reader :metadata

      # @!method task_uuid
      #   @return [String, nil] the task, when a step published the event
      # @!method step_uuid
      #   @return [String, nil]
      # @!method step_name
      #   @return [String, nil]
      # @!method namespace
      #   @return [String]
      # @!method correlation_id
      #   @return [String, nil]
      # @!method fired_by
      #   @return [String] who published it
      %i[task_uuid step_uuid step_name namespace correlation_id fired_by].each do |name|
        define_method(name) { @metadata[name] }
      end

      # @return [Time, nil]
      def fired_at
        at = @metadata[:fired_at]
        at && Time.iso8601(at)
      end

      # @return [Telemetry::Context, nil] where in a trace it was published, if that is known. It is the current one
      #   while a subscriber runs
      def context
        traceparent && (@context ||= Telemetry::Context.new(traceparent, correlation_id: correlation_id))
      end

      # @param key [String, Symbol] of the whole message: `event[:metadata]`
      # @return [Object, nil]
      def [](key)
        @message[key]
      end

      # @return [Hash{Symbol => Object}] what ActiveSupport::Notifications is given; it may be changed
      # @api private
      def notification
        @message.dup
      end

      # @return [JsonHash] the whole message
      def to_h
        @message
      end

      def deconstruct_keys(_keys)
        { event_id: event_id, name: name, payload: payload, metadata: metadata }
      end

      # Leaves out the payload.
      def inspect
        "#<#{self.class} #{name} #{event_id}>"
      end

      private

      def body
        body = @message[:payload]
        body.is_a?(Hash) ? body : JsonHash.new
      end
    end
  end
end
