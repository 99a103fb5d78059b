# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: the thread `tasker-bus`, which takes from the engine what subscribers of this process are to be told of
    # (fast and broadcast domain events, and lifecycle events), and tells them. It runs only while the engine is open
    # and there are subscribers; without them the engine does no work for it. What it cannot take in time the engine
    # drops, and counts.
    # @api private
    class Bus
      # Milliseconds; only limits how long the thread sleeps without a check. An event wakes it at once, and so does
      # {Wake}.
      POLL_MS = 30_000

      # Raised into the thread while it waits, and nowhere else.
      class Wake < StandardError; end
      NOWHERE = { Wake => :never }.freeze
      WHILE_WAITING = { Wake => :on_blocking }.freeze
      private_constant :Wake, :NOWHERE, :WHILE_WAITING

      # Seconds that a closing engine waits for subscribers.
      GRACE = 1.0

      # @param native [Module]
      # @yieldreturn [Array(Boolean, Boolean)] whether somebody wants domain events, and lifecycle events
      # @param deliver [#call] called with the kind and the text of each item
      def initialize(deliver:, native: Native, &wanted)
        @native = native
        @deliver = deliver
        @wanted = wanted
        @lock = Mutex.new
        @thread = nil
        @told = [false, false]
        @draining = false
      end

      # Starts or ends the thread, after something has changed: the subscriptions, or whether the engine is open.
      def refresh
        @lock.synchronize do
          next unless @native.open?

          wanted = @wanted.call
          next if wanted == @told && running? == wanted.any?

          @native.listen_bus(*wanted)
          @told = wanted
          running? ? @thread.raise(Wake) : (start if wanted.any?)
        end
      end

      # Before the engine closes: hands out what waits, for a bounded time.
      # @param seconds [Numeric]
      # @return [Boolean] whether nothing is left
      def drain(seconds = GRACE)
        thread = running? && @thread
        return true if !thread || thread == Thread.current

        @draining = true
        thread.raise(Wake)
        !thread.join(seconds).nil?
      ensure
        @draining = false
      end

      # After the engine was closed: the next one knows nothing of what this one was told.
      def closed
        @told = [false, false]
        @thread.raise(Wake) if running?
      end

      # @return [Boolean]
      def running?
        !@thread.nil? && @thread.alive? # in a forked child it is dead
      end

      private

      # Called under the lock.
      def start
        @thread = Thread.handle_interrupt(NOWHERE) { Thread.new { serve } }
      end

      def serve
        Thread.current.name = "tasker-bus"
        Thread.current.report_on_exception = false
        ended = false
        run
        ended = true
      rescue StoppedError
        ended = true # the engine was closed
      rescue StandardError => e
        ended = true
        TaskerCore.logger.error("thread of the bus died", error: e)
      ensure
        again unless ended # a subscriber ended the thread
      end

      def run
        courtesy = Courtesy.new
        while @told.any?
          item = poll
          break if item.nil? && @draining
          next unless item

          deliver(item)
          courtesy.call
        end
      end

      # The next item, nil if there was none in time, false if the thread was woken.
      def poll
        Thread.handle_interrupt(WHILE_WAITING) { @native.poll_bus(@draining ? 0 : POLL_MS) }
      rescue Wake
        false
      end

      # One event that cannot be read must not end the others.
      def deliver(item)
        @deliver.call(*item)
      rescue StandardError => e
        TaskerCore.logger.error("event of the engine could not be handed out", kind: item.first, error: e)
      end

      def again
        @lock.synchronize { start } if @native.open?
      end
    end
  end
end
