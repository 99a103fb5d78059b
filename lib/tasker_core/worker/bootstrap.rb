# frozen_string_literal: true

module TaskerCore
  module Worker
    # Starts and stops one worker. It starts, in this order: the engine with its templates; the Tokio runtime, phase 2
    # of telemetry and the claims (in the extension); the handler threads; the signals. A stop goes in reverse.
    class Bootstrap
      # Seconds for idle handler threads to end.
      THREAD_GRACE = 2.0

      # Seconds for exporting what a stopped worker leaves. If the collector does not answer, a close that follows waits
      # 0.3 s more; both stay within 3 s.
      FLUSH_SECONDS = 2.4

      # Seconds between checks that the engine is alive. Handler threads that are all busy do not notice its death.
      LOOK = 1.0

      DIED = "the worker's engine has died: this process records no more results. Restart the process. The steps it " \
             "had claimed run again when its lease runs out, on any worker. Please report this with the log lines " \
             "before it"
      private_constant :DIED

      # @return [Integer] the process it belongs to
      attr_reader :pid

      # @param engine [Engine]
      # @param settings [Hash] worker settings that take precedence over the configuration's
      def initialize(engine, settings = {})
        @engine = engine
        @settings = settings
        @pid = Process.pid
        @state = :new
        @now = false
        @lock = Mutex.new
        @stopped = ConditionVariable.new
      end

      # @param signals [Boolean, :exit] :exit leaves ending the process to the caller
      # @param subscribers [Boolean] whether event subscribers run beside the handlers
      # @return [self]
      def start(signals: false, subscribers: true)
        configuration = @engine.configuration
        document = configuration.to_engine_json(**@settings)
        @engine.open
        subscriber = subscriber(configuration)
        begin_claims(document, subscribers)
        @poller = EventPoller.new(concurrency: setting(:concurrency), subscriber: subscriber) { engine_died }
        @state = :running
        @poller.start
        @signals = install_signals(signals) if signals
        self
      end

      # @param timeout [Numeric, nil] seconds
      # @return [Boolean] whether every handler finished in time
      def stop(timeout: nil)
        first = @lock.synchronize { @state == :running && (@state = :stopping) }
        return wait_stopped unless first

        begin
          @in_time = stop_worker(timeout || setting(:shutdown_timeout))
        ensure
          @lock.synchronize do
            @state = :stopped
            @stopped.broadcast
          end
        end
        @in_time
      rescue ThreadError => e
        raise unless e.message.include?("trap context")

        Thread.new { stop(timeout: timeout) } # a trap cannot wait
        false
      end

      # @return [Boolean]
      def running?
        @state == :running || @state == :stopping
      end

      # @param timeout [Numeric, nil] seconds
      # @return [Boolean] whether it has stopped
      def join(timeout = nil)
        deadline = timeout && (Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout)
        @lock.synchronize do
          while running?
            left = deadline && (deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC))
            return false if left && left <= 0

            @stopped.wait(@lock, [left, LOOK].compact.min)
            died if Native.engine_failed?
          end
        end
        true
      end

      # @raise [InternalError] it ended because the engine died
      def check
        raise InternalError, DIED if failed?
      end

      # Ends a stop that waits for handlers: everything is released at once.
      def stop_now
        @now = true
        EventSubscriber.stop(timeout: 0)
        Native.stop_worker(0.0)
      end

      private

      def setting(name)
        @settings.fetch(name) { @engine.configuration.public_send(name) }
      end

      def subscriber(configuration)
        Subscriber.new(registry: HandlerRegistry.new(configuration.handlers),
                       max_result_bytes: configuration.max_result_bytes)
      end

      def failed?
        @state == :failed
      end

      # An interrupt of the caller must not leave claims without handlers.
      def begin_claims(document, subscribers)
        EventSubscriber.start if subscribers
        Native.bootstrap_worker(document, Telemetry.settings_json)
      rescue Error
        EventSubscriber.stop(timeout: 0)
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- Timeout, Ctrl-C
        Native.stop_worker(0.0)
        raise
      end

      def engine_died
        @lock.synchronize { died }
      end

      # Called under the lock.
      def died
        return unless @state == :running

        @state = :failed
        @signals&.remove
        TaskerCore.logger.error(DIED)
        @stopped.broadcast
      end

      def stop_worker(timeout)
        subscribers = Thread.new { EventSubscriber.stop(timeout: timeout.to_f) }
        in_time = stop_claims(timeout.to_f) && !@now
        in_time &= subscribers.value
        # What still runs was released; its threads end with their handlers' ensure blocks.
        @poller.stop(in_time ? THREAD_GRACE : 0)
        Telemetry.flush(timeout: FLUSH_SECONDS)
        @signals&.remove
        in_time
      end

      # In a thread of its own, because traps run on the main thread and would end the wait. An exception raised into
      # the caller (an untrapped Ctrl-C) does end it: then everything is released at once.
      def stop_claims(timeout)
        stopper = Thread.new { Native.stop_worker(timeout) }
        stopper.report_on_exception = false
        stopper.value.first
      ensure
        stopper.kill.join
      end

      def wait_stopped
        join
        @in_time != false && !failed?
      end

      def install_signals(signals)
        Signals.new(ends_process: signals != :exit) { |now| now ? stop_now : stop }.install
      end
    end
  end
end
