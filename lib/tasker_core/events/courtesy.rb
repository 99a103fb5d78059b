# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: that a thread which hands out one event after the other lets handlers have the GVL in between. Ruby would
    # take it away after 100 ms only. Refuses: to help against one event that is computed on for longer.
    # @api private
    class Courtesy
      # Milliseconds that the thread may go on for.
      SHARE = 1.0

      def initialize
        @since = now
      end

      # To be called after each event.
      def call
        return if now - @since < SHARE

        Thread.pass
        @since = now
      end

      private

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
      end
    end
  end
end
