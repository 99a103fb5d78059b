# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # Owns: handing one event to a subscriber, in a span that is linked to the publisher's, and what became of it.
    class Delivering
      # The poller of steps keeps interrupts away in the same way: see {Worker::Subscriber}.
      INTERRUPTIBLE = { Object => :immediate }.freeze
      # Seconds until a process with another version of the class has had time to take the event.
      ELSEWHERE = 5.0
      # What of an error's message is kept.
      MAX_MESSAGE_BYTES = 2048

      # @param subscription [Subscription]
      def initialize(subscription)
        @subscription = subscription
      end

      # @param event [Event]
      # @return [Hash] the outcome, as the extension takes it
      def call(event)
        return { delivery: event.delivery, later: ELSEWHERE } unless @subscription.wants?(event.event_name)

        handle(event)
        { delivery: event.delivery, ok: true }
      rescue Exception => e # rubocop:disable Lint/RescueException -- a handler must not end its thread
        failed(event, e)
      end

      # @return [Hash] the outcome of an event whose thread ended with it
      def killed(event)
        failed(event, HandlerKilledError.new("the thread of #{@subscription.subscriber} ended before handle returned " \
                                             "(Thread.exit, Thread#kill, or a jump out of it)"))
      end

      private

      def handle(event)
        attributes = { event_name: event.event_name, event_id: event.event_id, group: @subscription.group,
                       attempt: event.attempt, namespace: event.metadata[:namespace] }
        linked = { link: event.traceparent, correlation_id: event.correlation_id }
        Telemetry::Span.consume("process #{event.event_name}", attributes, **linked) do
          Thread.handle_interrupt(INTERRUPTIBLE) { @subscription.subscriber.new.handle(event) }
        end
      end

      def failed(event, failure)
        error = Worker::Failure.describe(failure)
        retry_in = @subscription.retries.delay(event.attempt, error)
        log(event, error, retry_in)
        { delivery: event.delivery, error: kept(error), retry_in: retry_in }
      rescue StandardError
        { delivery: event.delivery, error: kept(Worker::Failure::UNKNOWN), retry_in: 1.0 }
      end

      def kept(error)
        { class: error[:class], message: Worker::Failure.text(error[:message], MAX_MESSAGE_BYTES) }
      end

      def log(event, error, retry_in)
        shown = Worker::Failure.shown(error)
        if retry_in
          TaskerCore.logger.warn("event will be delivered again", group: @subscription.group, event_id: event.event_id,
                                                                  event_name: event.event_name, attempt: event.attempt,
                                                                  error_class: error[:class], error: shown,
                                                                  retry_in: retry_in)
        else
          TaskerCore.logger.error("event is a dead letter now", group: @subscription.group, event_id: event.event_id,
                                                                event_name: event.event_name, attempt: event.attempt,
                                                                error_class: error[:class], error: shown)
        end
      end
    end
  end
end
