# frozen_string_literal: true

require "singleton"

module TaskerCore
  module Events
    # The lifecycle events of this process: what the engine says of each task and step, and what handlers say with
    # `publish_step_event` and its like. They are for observers, and nobody keeps them: what is to survive a crash is a
    # domain event (see {EventPublisher}).
    #
    #     events = TaskerCore::Events::Publisher.instance
    #     failed = events.subscribe("step.failed") { |event| Pager.alert(event[:error_message]) }
    #     failed.unsubscribe
    class Publisher
      include Singleton

      NAME = /\A[\w-]+(?:\.[\w-]+)*\z/
      MAX_CHARACTERS = 128
      private_constant :NAME

      def initialize
        @subscriptions = Subscriptions.new { changed }
        @lane = Lane.new { |event| hand_out(event) }
        @published = 0
      end

      # Calls the block with every event whose name matches, from a thread of the library's own, one at a time.
      # @param pattern [String] a name, or a pattern: see {Pattern}
      # @param callable [#call] in place of a block
      # @yieldparam event [Event]
      # @return [Subscription]
      # @raise [InvalidInputError]
      def subscribe(pattern = Pattern::EVERYTHING, callable = nil, &block)
        @subscriptions.add(pattern, callable || block)
      end

      # Publishes an event in this process. Returns at once, and costs next to nothing when nobody subscribed to it.
      # @param name [String]
      # @param payload [Hash{Symbol => Object}]
      # @return [nil]
      # @raise [InvalidInputError] the name or the payload is none
      def publish(name, payload = {})
        check(name, payload)
        return unless listening?(name)

        @published += 1
        @lane.push(Event.new(name, payload.dup, source: :application, context: Telemetry::Context.current))
        nil
      end

      # @param name [String]
      # @return [Boolean] whether somebody is to be told of events with that name
      def listening?(name)
        !@subscriptions.for(name).empty? || Events.notifications.listening?(name)
      end

      # @return [Boolean] whether there is any subscription
      def listening_at_all?
        !@subscriptions.empty?
      end

      # Tells the subscribers, in this thread.
      # @api private
      def hand_out(event)
        @subscriptions.for(event.name).each { |subscription| subscription.call(event) }
        Events.notifications.tell(event)
      end

      # Waits until subscribers were told of everything this process has published, or the time is up.
      # @param timeout [Numeric] seconds
      # @return [Boolean] whether they were
      def flush(timeout: 2.0)
        @lane.drain(timeout)
      end

      # Ends all subscriptions.
      def reset
        @subscriptions.clear
      end

      def inspect
        "#<#{self.class} subscriptions=#{@subscriptions.size} published=#{@published} dropped=#{@lane.dropped}>"
      end

      private

      def check(name, payload)
        unless name.is_a?(String) && name.size <= MAX_CHARACTERS && name.valid_encoding? && NAME.match?(name)
          raise InvalidInputError, "#{Telemetry::Fields.text(name.inspect, 200)} cannot be the name of a lifecycle " \
                                   "event: write words with dots between them, #{MAX_CHARACTERS} characters at most"
        end
        return if payload.is_a?(Hash)

        raise InvalidInputError, "event #{name}: the payload must be a Hash, not #{payload.class}"
      end

      def changed
        @lane.finish if @subscriptions.empty?
        Events.refresh
      end
    end
  end
end
