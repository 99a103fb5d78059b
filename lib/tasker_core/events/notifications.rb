# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: telling ActiveSupport::Notifications, when the application has loaded it: every event that subscribers of
    # this process may see is instrumented as `NAME.tasker_core`, with its payload. ActiveSupport can only be asked
    # whether somebody listens to a name: it is asked by the names of lifecycle events, and by those of domain events
    # that this process's templates declare or that it has published; when the engine opens, and whenever one of our
    # subscriptions begins or ends. Refuses: requiring ActiveSupport.
    # @api private
    class Notifications
      SUFFIX = ".tasker_core"
      MAX_NAMES = 1000

      # @return [Array<String>] the values of every constant in {Constants}
      def self.lifecycle_names(group = Constants)
        group.constants.map { |name| group.const_get(name) }
             .flat_map { |value| value.is_a?(Module) ? lifecycle_names(value) : [value] }
      end

      def initialize
        @lifecycle = Notifications.lifecycle_names.freeze
        @domain = {}
        @subscription = Subscription.new(Pattern.new(Pattern::EVERYTHING), method(:instrument))
      end

      # @return [Boolean] whether somebody listens to lifecycle events
      def lifecycle?
        loaded? && @lifecycle.any? { |name| listening?(name) }
      end

      # @return [Boolean] whether somebody listens to domain events that may come
      def domain?
        loaded? && (@domain.keys | TaskerCore.engine.templates.event_names).any? { |name| listening?(name) }
      end

      # @param name [String]
      # @return [Boolean]
      def listening?(name)
        loaded? && ::ActiveSupport::Notifications.notifier.listening?("#{name}#{SUFFIX}")
      end

      # Remembers a name that somebody listens to.
      # @return [Boolean] whether it is a new one
      def published(name)
        return false if @domain.key?(name) || @domain.size >= MAX_NAMES || !listening?(name)

        @domain = @domain.merge(name => true)
        true
      end

      # What a subscriber raises is logged.
      # @param event [Event, DomainEvent]
      def tell(event)
        @subscription.call(event) if listening?(event.name)
      end

      private

      def instrument(event)
        ::ActiveSupport::Notifications.instrument("#{event.name}#{SUFFIX}", event.notification)
      end

      def loaded?
        defined?(::ActiveSupport::Notifications) ? true : false
      end
    end
  end
end
