# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # Owns: the events that a process has in hand of one group, until each is settled, and whose turn it is. Events of
    # one key wait for each other in a lane. Refuses: threads, locks and the database.
    class Lanes
      # Events in hand, at most.
      WINDOW = 500

      def initialize
        clear
      end

      # Others have the group's events now.
      def clear
        @ready = []
        @waiting = {}
        @stopped = {}
        @held = {}
        @recalled = {}
      end

      # @return [Integer] how many more events may be taken in hand
      def room
        WINDOW - @held.size
      end

      # @return [Boolean] whether so few are in hand that it is worth asking for more
      def hungry?
        @held.size <= WINDOW / 2
      end

      # @return [Boolean] whether none waits for a thread
      def idle?
        @ready.empty?
      end

      # @param events [Array<Event>]
      def add(events)
        events.each do |event|
          next if @recalled.delete(event.delivery)

          @held[event.delivery] = true
          waiting = event.key && @waiting[event.key]
          next waiting << event if waiting

          @waiting[event.key] = [] if event.key
          @ready << event
        end
      end

      # @return [Event, nil] the next one to be handled
      def take
        @ready.shift
      end

      # An event was handled, or given up: the next one of its key may be.
      def passed(event)
        follow(event.key) if event.key
      end

      # An event will be tried again: the others of its key wait until that is written down.
      def stop(event)
        @stopped[event.delivery] = event.key if event.key
      end

      # Deliveries were written down.
      # @param outcomes [Array<Hash>]
      # @param recalled [Array<Integer>] deliveries that are not to be handled now. One that is not here yet is on its
      #   way.
      def settled(outcomes, recalled)
        recall(recalled) unless recalled.empty?
        outcomes.each do |outcome|
          delivery = outcome[:delivery]
          @held.delete(delivery)
          key = @stopped.delete(delivery) and follow(key)
        end
      end

      private

      # The next one of a key's lane, which ends with the last.
      def follow(key)
        waiting = @waiting[key] or return
        waiting.empty? ? @waiting.delete(key) : @ready << waiting.shift
      end

      def recall(recalled)
        away = recalled.to_h { |delivery| [delivery, true] }
        @waiting.each_value do |waiting|
          waiting.reject! { |event| away.delete(event.delivery) && @held.delete(event.delivery) }
        end
        @recalled.merge!(away)
      end
    end
  end
end
