# frozen_string_literal: true

module TaskerCore
  module Events
    # One block that is called with the events of a pattern: what {TaskerCore.on} and {Publisher#subscribe} return.
    # Events come from threads of the library's own, one at a time. What the block raises is logged, and concerns nobody
    # else.
    class Subscription
      # @return [Pattern]
      attr_reader :pattern
      # @return [Integer] how many events it was called with, and how many of these calls raised
      attr_reader :calls, :errors

      # @api private
      def initialize(pattern, callable, &unsubscribe)
        @pattern = pattern
        @callable = callable
        @unsubscribe = unsubscribe
        @lock = Mutex.new
        @active = true
        @calls = @errors = 0
      end

      # Ends the subscription. The block is not called again, except for an event that it is handling now.
      # @return [Boolean] whether it was active
      def unsubscribe
        was = @active
        @active = false
        @unsubscribe.call(self) if was
        was
      end

      # @return [Boolean]
      def active?
        @active
      end

      # @api private
      # @param event [Event, DomainEvent]
      def call(event)
        @lock.synchronize do
          next unless @active

          @calls += 1
          run(event)
        end
      end

      def inspect
        "#<#{self.class} #{pattern}#{' ended' unless @active} calls=#{calls} errors=#{errors}>"
      end

      private

      def run(event)
        Telemetry::Context.with(event.context) { @callable.call(event) }
      rescue Exception => e # rubocop:disable Lint/RescueException -- exit and NotImplementedError too: it is not alone
        @errors += 1
        failure = Worker::Failure.describe(e)
        Telemetry::Context.with(event.context) do
          TaskerCore.logger.error("event subscriber raised", event_name: event.name, pattern: pattern.to_s,
                                                             "exception.type": failure[:class],
                                                             reason: Worker::Failure.shown(failure),
                                                             "exception.stacktrace": failure[:backtrace].join("\n"))
        end
      end
    end

    # The subscriptions to one kind of events. Readers take no lock: what they read is replaced, never changed.
    # @api private
    class Subscriptions
      # Names that are looked up are remembered; there are few different ones, unless somebody makes them up.
      MAX_NAMES = 1000

      # @yield whenever there is one more, or one less
      def initialize(&changed)
        @changed = changed
        @lock = Mutex.new
        @all = [].freeze
        @by_name = {}
      end

      # @param pattern [String, Symbol]
      # @param callable [#call]
      # @return [Subscription]
      def add(pattern, callable)
        unless callable.respond_to?(:call)
          raise InvalidInputError, "subscribe to #{pattern}: give a block or an object with call(event), " \
                                   "not #{callable.inspect}"
        end

        subscription = Subscription.new(Pattern.new(pattern), callable) { |ended| change { |all| all - [ended] } }
        change { |all| all + [subscription] }
        subscription
      end

      # @return [Boolean]
      def empty?
        @all.empty?
      end

      # @return [Integer]
      def size
        @all.size
      end

      # @param name [String]
      # @return [Array<Subscription>] those whose pattern matches
      def for(name)
        all = @all
        return all if all.empty?

        @by_name[name] || remember(name)
      end

      # Ends all of them.
      def clear
        @all.each(&:unsubscribe)
      end

      private

      def remember(name)
        @lock.synchronize do
          found = @all.select { |subscription| subscription.pattern.match?(name) }.freeze
          known = @by_name.size >= MAX_NAMES ? {} : @by_name
          @by_name = known.merge(name => found)
          found
        end
      end

      def change
        @lock.synchronize do
          @all = yield(@all).freeze
          @by_name = {}
        end
        @changed&.call
      end
    end
  end
end
