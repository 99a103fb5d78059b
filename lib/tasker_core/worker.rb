# frozen_string_literal: true

require_relative "worker/event_bridge"
require_relative "worker/failure"
require_relative "worker/step_publishers"
require_relative "worker/subscriber"
require_relative "worker/event_poller"
require_relative "worker/signals"
require_relative "worker/bootstrap"

module TaskerCore
  # The worker of this process: claims steps and runs their handlers.
  #
  #     TaskerCore::Worker.start(concurrency: 5)   # beside other work of the process
  #     TaskerCore::Worker.run                     # the whole process: until SIGTERM or SIGINT
  module Worker
    @lock = Monitor.new
    @current = nil

    class << self
      # Starts the worker. A worker that the parent process started is ignored after a fork.
      # @param signals [Boolean] whether INT and TERM stop it; earlier traps are called too
      # @param subscribers [Boolean] whether to start the {EventSubscriber}s that are loaded
      # @param settings [Hash] concurrency, namespaces, lease_seconds, shutdown_timeout, poll_interval:
      #   for this worker, in place of the configuration's
      # @return [Bootstrap] the worker
      # @raise [ConfigurationError] a worker is running already, or a setting is wrong
      def start(signals: false, subscribers: true, **settings)
        @lock.synchronize do
          raise ConfigurationError, "a worker is running already in this process; stop it first" if running?

          @current = Bootstrap.new(TaskerCore.engine, settings).start(signals: signals, subscribers: subscribers)
        end
      end

      # Stops claiming, lets handlers finish, releases the rest, flushes telemetry. Harmless before a start and a second
      # time; a second stop waits for the first.
      # @param timeout [Numeric, nil] seconds for the handlers; default: the worker's shutdown_timeout
      # @return [Boolean] whether every handler finished in time
      def stop(timeout: nil)
        worker = current
        worker.nil? || worker.stop(timeout: timeout)
      end

      # @return [Boolean]
      def running?
        !!current&.running?
      end

      # Waits until the worker has stopped.
      # @param timeout [Numeric, nil] seconds
      # @return [Boolean] whether it has
      def join(timeout = nil)
        worker = current
        worker.nil? || worker.join(timeout)
      end

      # Starts the worker and waits until a signal has stopped it.
      # @param settings [Hash] as for {start}
      # @return [Boolean] whether every handler finished in time
      # @raise [InternalError] the engine has died: restart the process
      def run(**settings)
        worker = start(signals: :exit, **settings)
        worker.join
        worker.check
        worker.stop
      end

      private

      def current
        worker = @current
        worker if worker && worker.pid == Process.pid
      end
    end
  end
end
