# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # Owns: the events that a process has in hand of one group, until each is settled, and whose turn it is. Events of
    # one key wait for each other. Refuses: threads, locks and the database.
    class Lanes
      # Events in hand, at most.
      WINDOW = 200

      def initialize
        @ready = []
        @behind = {}
        @held = {}
      end

      # @return [Integer] how many more events may be taken in hand
      def room
        WINDOW - @held.size
      end

      # @return [Boolean] whether so few are in hand that it is worth asking for more
      def hungry?
        @held.size <= WINDOW / 2
      end

      # @return [Boolean] whether nobody waits for a handler
      def idle?
        @ready.empty?
      end

      # @param events [Array<Event>]
      def add(events)
        events.each do |event|
          @held[event.delivery] = true
          waiting = event.key && @behind[event.key]
          next waiting << event if waiting

          @behind[event.key] = [] if event.key
          @ready << event
        end
      end

      # @return [Event, nil] the next one to be handled
      def take
        @ready.shift
      end

      # An event was handled, or given up: the next one of its key may be.
      def passed(event)
        following = event.key && @behind[event.key] or return
        following.empty? ? @behind.delete(event.key) : @ready << following.shift
      end

      # An event will be tried again.
      # @return [Array<Event>] those that have to wait for it, not here
      def failed(event)
        (event.key && @behind.delete(event.key)) || []
      end

      # Deliveries were written down.
      def settled(outcomes)
        outcomes.each { |outcome| @held.delete(outcome[:delivery]) }
      end

      # Others have the group's events now.
      def clear
        @ready.clear
        @behind.clear
        @held.clear
      end
    end
  end
end
