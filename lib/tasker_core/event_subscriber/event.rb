# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # A domain event, as a subscriber gets it.
    class Event
      # @return [JsonHash] the whole message, as it is stored
      attr_reader :message
      # @return [Integer] which attempt of this group this is; the first is 1
      attr_reader :attempt
      # @return [String, nil] its key, in a group that asks for order
      attr_reader :key
      # @return [Integer] the delivery's number within its group
      attr_reader :delivery
      # @return [String, nil] W3C: its publisher's span
      attr_reader :traceparent

      # @api private
      # @param delivery [JsonHash] as the extension gives it
      def initialize(delivery)
        @delivery = delivery[:delivery]
        @attempt = delivery[:attempt]
        @key = delivery[:key]
        @traceparent = delivery[:traceparent]
        @message = delivery[:event].is_a?(Hash) ? delivery[:event] : JsonHash.new
      end

      # @return [String, nil] a UUID of version 7; the same each time the event is delivered
      def event_id
        @message[:event_id]
      end

      # @return [String, nil] "payment.processed"
      def event_name
        @message[:event_name]
      end
      alias name event_name

      # @return [Object, nil] what was published
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
      def metadata
        @message[:metadata] || JsonHash.new
      end

      # @return [String, nil]
      def correlation_id
        metadata[:correlation_id]
      end

      # @return [Time, nil]
      def fired_at
        at = metadata[:fired_at]
        at && Time.iso8601(at)
      end

      # @param key [String, Symbol] of the whole message: `event[:metadata]`
      # @return [Object, nil]
      def [](key)
        @message[key]
      end

      # @return [JsonHash] the whole message
      def to_h
        @message
      end

      # Leaves out the payload.
      def inspect
        "#<#{self.class} #{event_name} #{event_id} attempt #{attempt}>"
      end

      private

      def body
        body = @message[:payload]
        body.is_a?(Hash) ? body : JsonHash.new
      end
    end
  end
end
