# frozen_string_literal: true

module TaskerCore
  module Worker
    # Owns: the handler threads. Each polls for itself, because it already holds the GVL when its handler returns. A
    # separate poller thread would wait for the GVL behind every handler that computes. A thread that a handler killed
    # is replaced.
    class EventPoller
      # Interrupts reach a thread while it waits for an event, and (see Subscriber) inside a handler, but not in
      # between, where an interrupt would lose an event that has been polled but not completed.
      WHILE_WAITING = { Object => :on_blocking }.freeze

      # Seconds; only limits how long a thread sleeps without a check. An event wakes it at once.
      POLL_SECONDS = 30.0

      # Seconds for the ensure blocks of handlers that are killed.
      KILL_SECONDS = 1.0

      # @param concurrency [Integer] threads
      # @param subscriber [#call] called with each event
      # @param bridge [EventBridge]
      # @yield when the engine has died: there are no more events
      def initialize(concurrency:, subscriber:, bridge: EventBridge.instance, &engine_died)
        @engine_died = engine_died
        @concurrency = concurrency
        @subscriber = subscriber
        @bridge = bridge
        @lock = Mutex.new
        @threads = []
        @held = Array.new(concurrency)
        @stopping = false
      end

      # @return [self]
      def start
        @lock.synchronize { @concurrency.times { |index| @threads[index] = spawn(index) } }
        self
      end

      # Waits for threads, which end by themselves when the channel is closed, then kills the rest.
      # @param grace [Numeric] seconds to wait before the kill
      # @return [Boolean] whether no thread had to be killed
      def stop(grace)
        @lock.synchronize { @stopping = true }
        return true if join(grace)

        alive.each(&:kill)
        join(KILL_SECONDS)
        false
      end

      # @return [Array<Thread>]
      def alive
        @lock.synchronize { @threads.select(&:alive?) }
      end

      private

      def join(seconds)
        deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
        alive.all? do |thread|
          thread == Thread.current || thread.join([deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC), 0].max)
        end
      end

      def spawn(index)
        Thread.new do
          Thread.current.name = "tasker-handler-#{index}"
          Thread.current.report_on_exception = false
          finished = false
          begin
            Thread.handle_interrupt(WHILE_WAITING) { poll(index) }
            finished = true
          rescue Exception => e # rubocop:disable Lint/RescueException -- raised into the thread from elsewhere
            TaskerCore.logger.error("handler thread died", error: e)
          ensure
            Thread.handle_interrupt(Subscriber::UNINTERRUPTIBLE) do
              answer_held(index)
              replace(index) unless finished
            end
          end
        end
      end

      def poll(index)
        while (event = Native.poll_step_event(POLL_SECONDS)) != false
          next unless event

          @held[index] = event
          @subscriber.call(@bridge.wrap_step_execution_event(event))
          @held[index] = nil
        end
        @engine_died&.call if Native.engine_failed?
      rescue StoppedError
        nil # the engine was closed under a worker that was not stopped
      end

      # Answers the event that this thread was running when it died, unless it is answered.
      def answer_held(index)
        event = @held[index] or return
        @held[index] = nil
        @bridge.fail_step_event(event[:event_id], HandlerKilledError.name, "the thread of the step's handler died")
      rescue StandardError => e
        TaskerCore.logger.error("step event lost; it runs again when its lease runs out", reason: e)
      end

      def replace(index)
        @lock.synchronize { @threads[index] = spawn(index) unless @stopping }
      end
    end
  end
end
