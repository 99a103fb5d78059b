# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # Owns: the outcomes of events until they are written down. One thread at a time writes down what all have handled;
    # the others leave it to that one and go on.
    class Settling
      # Seconds until events that were handled are settled, while there are more to handle.
      AFTER = 0.05
      # Seconds until the next try while the database is away.
      PAUSE = 0.2
      private_constant :AFTER, :PAUSE

      # @param group [String]
      # @param lanes [Lanes]
      # @param lock [Mutex] theirs
      # @param room [ConditionVariable] told when events were settled
      def initialize(group, lanes, lock, room)
        @group = group
        @lanes = lanes
        @lock = lock
        @room = room
        @outcomes = []
        @busy = false
        @settled_at = now
      end

      # An event was handled, or was not. Called under the lock.
      def add(event, outcome)
        @outcomes << outcome
        again = outcome[:retry_in] || outcome[:later]
        again ? @lanes.stop(event) : @lanes.passed(event)
      end

      # Writes down what has come, if it is worth it.
      # @param now_or_never [Boolean] then it always is
      def settle(now_or_never: false)
        while (outcomes = take(now_or_never))
          written = write(outcomes)
          @lock.synchronize { written_down(outcomes, written) }
        end
      end

      # Writes down the rest; what cannot be is delivered again.
      def finish
        outcomes = @lock.synchronize { @outcomes.shift(@outcomes.size) }
        write(outcomes) unless outcomes.empty?
      end

      private

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      def take(now_or_never)
        @lock.synchronize do
          next if @busy || @outcomes.empty? || !(now_or_never || worth_it?)

          @busy = true
          @outcomes.shift(@outcomes.size)
        end
      end

      def worth_it?
        @lanes.idle? || @outcomes.size >= Lanes::WINDOW / 2 || now - @settled_at >= AFTER
      end

      # @return [Array<Integer>, false, nil] deliveries that are taken back; false: others have the group now; nil: it
      #   could not be written
      def write(outcomes)
        Native.event_group_settle(@group, JsonText.generate(outcomes, "outcomes")) || false
      rescue StoppedError, NotFoundError
        false
      rescue StandardError => e
        TaskerCore.logger.warn("handled events could not be settled; trying again", group: @group, error: e)
        nil
      ensure
        @busy = false
      end

      # Called under the lock.
      def written_down(outcomes, written)
        if written.nil?
          @outcomes.unshift(*outcomes)
          @room.wait(@lock, PAUSE)
        else
          written ? @lanes.settled(outcomes, written) : @lanes.clear
          @settled_at = now
          @room.broadcast
        end
      end
    end
  end
end
