# frozen_string_literal: true

require "singleton"

module TaskerCore
  module Worker
    # Owns: the shape of events and completions at the FFI layer. An event comes as a Hash:
    #
    #     event_id, task_uuid, step_uuid, correlation_id, parent_correlation_id (if any),
    #     trace_id, span_id, traceparent (if any), dispatched_at_us (microseconds since the epoch),
    #     publishers (if any): [[event name, publisher class, condition, delivery mode (if any)], …],
    #     task_sequence_step: { namespace, task_name, step_name, handler, attempt, max_attempts,
    #                           timeout_seconds, context, dependency_results, config }   (the last three JSON text)
    #
    # and a completion goes back as one:
    #
    #     event_id, task_uuid, step_uuid, success, result (JSON text),
    #     error: { class, message, code, field, backtrace, retryable, retry_after },
    #     metadata: { started_at_us, execution_time_ms }, trace_id, span_id (if the event had them),
    #     events (JSON text, if any): what the handler published: [{ event_id, name, payload, delivery_mode, key }, …],
    #     payloads (JSON text, if any): what publisher classes made: { event name: payload }
    #
    # trace_id and span_id are opaque here: passed through, and never read.
    class EventBridge
      include Singleton

      # @param event_data [Hash] as polled
      # @return [Hash] the same, with a {StepContext} for its :task_sequence_step
      def wrap_step_execution_event(event_data)
        event_data[:task_sequence_step] = StepContext.new(event_data)
        event_data
      end

      # Completes an unanswered event as failed, when nothing more is known about its attempt.
      # @param event_id [String]
      # @param class_name [String] the error's
      # @param message [String]
      # @return [Boolean] whether it was unanswered
      def fail_step_event(event_id, class_name, message)
        Native.fail_step_event(event_id, class_name, message)
      end

      # @param payload [Hash] a completion
      def publish_step_completion(payload)
        Native.complete_step_event(payload)
      end
    end
  end
end
