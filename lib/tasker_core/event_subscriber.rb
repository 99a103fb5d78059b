# frozen_string_literal: true

require_relative "event_subscriber/event"
require_relative "event_subscriber/retries"
require_relative "event_subscriber/subscription"
require_relative "event_subscriber/lanes"
require_relative "event_subscriber/delivering"
require_relative "event_subscriber/settling"
require_relative "event_subscriber/runner"

module TaskerCore
  # The superclass of durable subscribers. A subscriber reads domain events for a group, which is a row in the database:
  # it gets every durable event whose name fits, at least once, in whichever process runs it, also those that were
  # published while none did. One process at a time reads for a group.
  #
  #     class Receipts < TaskerCore::EventSubscriber
  #       subscribes_to "payment.*", group: "billing", from: :beginning, retry: { max_attempts: 5 }, ordered: true
  #
  #       def handle(event)
  #         Mailer.receipt(event.payload[:order_id]).deliver
  #       end
  #     end
  #
  # A worker starts the subscribers that are loaded when it starts; {.run} starts them in a process without a worker. A
  # new instance handles each event. What `handle` raises fails the attempt: another one follows, as `retry` says,
  # unless it was a {PermanentError}; {RetryableError} says when. After the last attempt the event is a dead letter of
  # the group: see {TaskerCore.event_groups}.
  class EventSubscriber
    # Seconds between checks of {.join}; a stop wakes it at once.
    LOOK = 1.0
    private_constant :LOOK

    @lock = Monitor.new
    @subscriptions = {}
    @runners = []
    @pid = nil

    class << self
      # @return [Subscription, nil] what this class subscribes to
      attr_reader :subscription

      # Says which events the class handles, and for which group. Call it once in the class.
      #
      # @param patterns [Array<String>] names of events; `*` stands for one word, `#` for any number of words
      # @param group [String, Symbol] the group's name; only one class may have it
      # @param options [Hash] `from:` where a new group begins: :now (the default), :beginning or a Time; a group that
      #   is there keeps its place. `ordered:` whether events with the same key are handled one after the other, also
      #   while one waits for its retry (default false). `concurrency:` threads of a process (default 1). `retry:` a
      #   Hash: max_attempts (default 3), backoff (:exponential, :linear, :fibonacci or :none), base and cap in seconds
      #   (1 and 300), jitter (0.1). `lease:` seconds until another process takes over from one that died (default 10)
      # @raise [InvalidInputError] a pattern, a name or an option cannot be used
      # @raise [ConfigurationError] another class has the group already
      def subscribes_to(*patterns, group:, **options)
        subscription = Subscription.new(self, group, patterns, options)
        EventSubscriber.register(subscription)
        @subscription = subscription
      end

      # Starts the subscribers in this process, beside other work; {Worker.start} does it too. Those that run already
      # are left alone.
      # @param only [Array<Class>, nil] these; default: all that are loaded
      # @return [Boolean] whether there are any
      def start(only: nil)
        TaskerCore.engine.open
        @lock.synchronize do
          forget_parents
          wanted = only ? only.map { |subscriber| subscription_of(subscriber) } : @subscriptions.values
          wanted.each do |subscription|
            next if @runners.any? { |runner| runner.running? && runner.group == subscription.group }

            @runners << Runner.new(subscription).start
          end
          @runners.any?(&:running?)
        end
      end

      # Starts the subscribers and waits until SIGTERM or SIGINT has stopped them: for a process of their own.
      # @param only [Array<Class>, nil] these; default: all that are loaded
      # @return [Boolean] whether every handler finished in time
      # @raise [ConfigurationError] there are none
      def run(only: nil)
        signaled = false
        signals = Worker::Signals.new(ends_process: false) do |now|
          signaled = true
          stop(timeout: now ? 0 : nil)
        end.install
        raise ConfigurationError, "no subscriber is loaded: require the classes first" unless start(only: only)

        runners = @lock.synchronize { @runners.dup }
        stop if signaled # while they started: there may have been none to stop yet
        join
        runners.all?(&:in_time?)
      ensure
        signals&.remove
      end

      # Stops the subscribers of this process: handlers finish, and what they have not begun goes to other processes.
      # Harmless when none runs.
      # @param timeout [Numeric, nil] seconds for the handlers; default: shutdown_timeout
      # @return [Boolean] whether every handler finished in time
      def stop(timeout: nil)
        timeout ||= TaskerCore.configuration.shutdown_timeout
        runners = @lock.synchronize do
          forget_parents
          @runners.dup
        end
        # Beside each other: one that hangs takes no time from the others.
        in_time = runners.map { |runner| Thread.new { runner.stop(timeout) } }.map(&:value).all?
        @lock.synchronize { @runners -= runners }
        in_time
      end

      # Waits until the subscribers of this process were stopped.
      def join
        runners = @lock.synchronize { @runners.dup }
        runners.each { |runner| nil until runner.join(LOOK) }
      end

      # @return [Boolean] whether this process runs any
      def running?
        @lock.synchronize do
          forget_parents
          @runners.any?(&:running?)
        end
      end

      # @api private
      def register(subscription)
        @lock.synchronize do
          known = @subscriptions[subscription.group]
          # A class that was loaded again takes its own place.
          if known && known.subscriber.name != subscription.subscriber.name
            raise ConfigurationError,
                  "#{known.subscriber} subscribes to group #{subscription.group.inspect} already; " \
                  "give #{subscription.subscriber} another group"
          end
          @subscriptions[subscription.group] = subscription
        end
      end

      # Forgets which classes there are.
      # @api private
      def reset
        @lock.synchronize { @subscriptions.clear }
      end

      private

      # Threads of the parent are not in the child of a fork.
      def forget_parents
        return if @pid == Process.pid

        @pid = Process.pid
        @runners = []
      end

      def subscription_of(subscriber)
        subscriber.subscription or
          raise ConfigurationError, "#{subscriber} subscribes to nothing; call subscribes_to in it"
      end
    end

    # @param event [Event]
    def handle(_event)
      raise NotImplementedError, "#{self.class} does not define handle(event)"
    end
  end
end
