# frozen_string_literal: true

require_relative "../events/domain_event"

module TaskerCore
  class EventSubscriber
    # A domain event, as a durable subscriber gets it: with what its group knows of it.
    class Event < Events::DomainEvent
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
        super(delivery[:event].is_a?(Hash) ? delivery[:event] : JsonHash.new)
        @delivery = delivery[:delivery]
        @attempt = delivery[:attempt]
        @key = delivery[:key]
        @traceparent = delivery[:traceparent]
      end

      # Leaves out the payload.
      def inspect
        "#<#{self.class} #{event_name} #{event_id} attempt #{attempt}>"
      end
    end
  end
end
