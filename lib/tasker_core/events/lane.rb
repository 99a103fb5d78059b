# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: the thread `tasker-lifecycle`, which hands out what this process publishes itself, in order: so no
    # subscriber delays who publishes. It starts with the first event that somebody is to be told of, and ends with the
    # last subscription. Bounded: an event that finds it full is dropped and counted, and the line says so once.
    # @api private
    class Lane
      CAPACITY = 10_000
      FINISH = Object.new
      private_constant :FINISH

      # @return [Integer] events that found it full
      attr_reader :dropped

      # @yieldparam item [Object] in the thread
      def initialize(capacity: CAPACITY, &deliver)
        @capacity = capacity
        @deliver = deliver
        @lock = Mutex.new
        @dropped = 0
        begin_anew
      end

      # @param item [Object]
      # @return [Boolean] whether there was room
      def push(item)
        first_drop = false
        pushed = @lock.synchronize do
          begin_anew unless @pid == Process.pid # a forked child: the parent hands out what it has
          next add(item) if @queue.size < @capacity

          first_drop = !@full
          @full = true
          @dropped += 1
          false
        end
        TaskerCore.logger.warn("event dropped: subscribers are too slow", waiting: @capacity) if first_drop
        pushed
      end

      # Ends the thread once it has handed out what waits.
      # @return [Thread, nil] the one that ends
      def finish
        @lock.synchronize do
          next unless @pid == Process.pid && @thread&.alive?

          @queue << FINISH
          @thread
        end
      end

      # Waits until what waits is handed out, or the time is up.
      # @param seconds [Numeric]
      # @return [Boolean] whether nothing is left
      def drain(seconds)
        thread = finish
        thread.nil? || thread == Thread.current || !thread.join(seconds).nil?
      end

      # @return [Thread, nil] while it runs
      def thread
        @thread if @pid == Process.pid && @thread&.alive?
      end

      private

      def begin_anew
        @pid = Process.pid
        @queue = Queue.new
        @thread = nil
        @full = false
      end

      def add(item)
        @full = false
        @queue << item
        @thread = start unless @thread&.alive?
        true
      end

      # Called under the lock.
      def start
        Thread.new do
          Thread.current.name = "tasker-lifecycle"
          Thread.current.report_on_exception = false
          ended = false
          begin
            run
            ended = true
          ensure
            restart unless ended # a subscriber ended the thread
          end
        end
      end

      def run
        courtesy = Courtesy.new
        loop do
          item = @queue.pop
          if item.equal?(FINISH)
            break if @lock.synchronize { @queue.empty? && (@thread = nil).nil? }
          else
            @deliver.call(item)
            courtesy.call
          end
        end
      end

      def restart
        @lock.synchronize { @thread = @queue.empty? ? nil : start }
      end
    end
  end
end
