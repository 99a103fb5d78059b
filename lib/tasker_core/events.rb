# frozen_string_literal: true

require_relative "events/pattern"
require_relative "events/subscription"
require_relative "events/event"
require_relative "events/engine_event"
require_relative "events/domain_event"
require_relative "events/courtesy"
require_relative "events/bus"
require_relative "events/lane"
require_relative "events/notifications"
require_relative "events/publisher"
require_relative "events/event_payload_builder"
require_relative "events/publication"
require_relative "events/subscribers/telemetry_subscriber"

module TaskerCore
  # Events: domain events of the application's business ({EventPublisher}, {TaskerCore.on}), and lifecycle events of
  # tasks and steps ({Publisher}). docs/guide/events.md explains both.
  module Events
    class << self
      # Publishes a domain event: see {EventPublisher#publish_event}. Raises what is wrong.
      # @api private
      # @return [String] the event's id
      def publish(name, payload = {}, immediate: false, **options)
        publication = Publication.new(name, payload, **options)
        step = Telemetry::Context.step
        return send_now([publication], step).first if step.nil? || immediate

        listen_for([publication])
        publication.collect(step)
      end

      # @api private
      # @param requests [Array<Hash>]
      # @return [Array<String>] the events' ids
      def publish_all(requests)
        unless requests.is_a?(Array) && requests.all?(Hash)
          raise InvalidInputError, "publish_events: pass an Array of Hashes, each with name: and payload:"
        end

        publications = requests.map do |request|
          request = request.transform_keys(&:to_sym)
          Publication.new(request.delete(:name), request.delete(:payload) || {}, **request)
        end
        publications.empty? ? [] : send_now(publications, Telemetry::Context.step)
      end

      # @api private
      # @return [Subscription]
      def on(pattern, callable)
        domain.add(pattern, callable)
      end

      # The line for an event that was not published.
      # @api private
      # @return [nil]
      def log_error(name, error)
        shown = Worker::Failure.shown(Worker::Failure.describe(error))
        TaskerCore.logger.error("Error publishing event #{Telemetry::Fields.text(name, 200)} : #{shown}")
        nil
      end

      # Begins, or ends, what only subscribers need. Called after anything has changed that decides it.
      # @api private
      def refresh
        bus.refresh
      end

      # Before the engine closes: subscribers are told of what waits, for a bounded time.
      # @api private
      def drain
        bus.drain
        Publisher.instance.flush(timeout: Bus::GRACE)
      end

      # Ends all subscriptions.
      # @api private
      def reset
        domain.clear
        Publisher.instance.reset
      end

      # @api private
      # @return [Bus]
      attr_reader :bus
      # @api private
      # @return [Notifications]
      attr_reader :notifications

      private

      attr_reader :domain

      def wanted
        [!domain.empty? || notifications.domain?, Publisher.instance.listening_at_all? || notifications.lifecycle?]
      end

      def send_now(publications, step)
        TaskerCore.engine.open
        context = Telemetry::Context.current
        requests = publications.map { |publication| publication.request(step, context) }
        listen_for(publications)
        Blocking.call { Native.publish_events("[#{requests.join(',')}]") }
      end

      # ActiveSupport's subscribers may be the only ones, and only names tell.
      def listen_for(publications)
        refresh if publications.map { |each| each.fast? && notifications.published(each.name) }.any?
      end

      # In the thread of the bus.
      def deliver(kind, text, traceparent = nil)
        item = JsonText.parse(text)
        case kind
        when "domain" then hand_out(DomainEvent.new(item, traceparent: traceparent))
        when "lifecycle" then Publisher.instance.hand_out(EngineEvent.read(item))
        end
      end

      def hand_out(event)
        domain.for(event.name).each { |subscription| subscription.call(event) }
        notifications.tell(event)
      end
    end

    @domain = Subscriptions.new { refresh }
    @notifications = Notifications.new
    @bus = Bus.new(deliver: method(:deliver)) { wanted }
  end
end
