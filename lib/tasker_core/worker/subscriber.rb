# frozen_string_literal: true

module TaskerCore
  module Worker
    # Runs the handler of one event and publishes its outcome: always exactly one completion, whatever the handler or
    # its exception does, unless the process dies.
    class Subscriber
      # The poller keeps asynchronous interrupts (Thread#kill, Thread#raise, Timeout) away from its own code;
      # a handler may be interrupted anywhere.
      INTERRUPTIBLE = { Object => :immediate }.freeze

      # Nothing may interrupt between an attempt's end and its completion.
      UNINTERRUPTIBLE = { Object => :never }.freeze

      # How an attempt ended: the result's text or what was raised, the payloads of publisher classes, when it began
      # (microseconds since the epoch), how long the handler took.
      Outcome = Struct.new(:result, :failure, :payloads, :started_at, :milliseconds)
      private_constant :Outcome

      # @param registry [HandlerRegistry]
      # @param max_result_bytes [Integer]
      # @param bridge [EventBridge]
      def initialize(registry:, max_result_bytes: Configuration::MAX_RESULT_BYTES, bridge: EventBridge.instance)
        @registry = registry
        @max_result_bytes = max_result_bytes
        @bridge = bridge
      end

      # @param event [Hash] the return value of {EventBridge#wrap_step_execution_event}
      def call(event)
        step = event[:task_sequence_step]
        outcome = Outcome.new
        outcome.started_at = step.began(Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond))
        started = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
        begin
          attempt(event, step, outcome, started)
        rescue Exception => e # rubocop:disable Lint/RescueException -- a handler must not take the worker down
          outcome.failure = e
        ensure
          # Neither: the thread is being killed, or the handler jumped out.
          outcome.failure ||= killed(step) unless outcome.result
          outcome.milliseconds ||= Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) - started
          settle(event, outcome)
        end
      end

      # @param event_data [Hash] the event
      # @param success [Boolean]
      # @param result [String, nil] JSON text
      # @param error_message [String, nil] when nothing more is known
      # @param metadata [Hash, nil] started_at_us, execution_time_ms
      # @param error [Hash, nil] the return value of {Failure.describe}
      # @param events [String, nil] JSON text: the domain events that the handler published
      # @param payloads [String, nil] JSON text: what publisher classes made for declared events
      def publish_step_completion(event_data:, success:, result: nil, error_message: nil, metadata: nil, error: nil,
                                  events: nil, payloads: nil)
        payload = {
          event_id: event_data[:event_id],
          task_uuid: event_data[:task_uuid],
          step_uuid: event_data[:step_uuid],
          success: success,
          result: result,
          error: error || (error_message && { message: Telemetry::Fields.error(error_message) }),
          metadata: metadata
        }
        trace_id = event_data[:trace_id]
        span_id = event_data[:span_id]
        payload[:trace_id] = trace_id if trace_id
        payload[:span_id] = span_id if span_id
        payload[:events] = events if events
        payload[:payloads] = payloads if payloads
        @bridge.publish_step_completion(payload)
      end

      private

      def attempt(event, step, outcome, started)
        log_input(step) if payloads?
        value = run(@registry.resolve(step.handler), step)
        outcome.milliseconds = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) - started
        text = result_text(step.results? ? step.results : value)
        outcome.payloads = transform(event, outcome, result: text) if event[:publishers]
        outcome.result = text
      end

      def run(handler, step)
        Telemetry::Context.with_step(step) do
          Thread.handle_interrupt(INTERRUPTIBLE) { handler.call(step) }
        end
      end

      # What publisher classes make of the outcome, as the handler would: in its trace, and interruptible.
      def transform(event, outcome, **ending)
        step = event[:task_sequence_step]
        Telemetry::Context.with_step(step) do
          Thread.handle_interrupt(INTERRUPTIBLE) do
            StepPublishers.payloads(event[:publishers], step, milliseconds: outcome.milliseconds, **ending)
          end
        end
      end

      # A thread that is being killed runs nothing more.
      def publishes_failure?(event, failure)
        event[:publishers] && failure && !failure.is_a?(HandlerKilledError)
      end

      def result_text(value)
        text = JsonText.generate(value)
        return text if text.bytesize <= @max_result_bytes

        raise ResultTooLargeError, "the result is #{text.bytesize} bytes of JSON; the limit is #{@max_result_bytes}. " \
                                   "Store it elsewhere and return where, or raise max_result_bytes"
      rescue JsonText::Unwritable => e
        raise UnserializableResultError, e.message
      end

      # Describing an exception and writing log lines may call the application's code, which may raise or be
      # interrupted. The completion is still published.
      def settle(event, outcome)
        failure = outcome.failure
        error = failure && Failure::UNKNOWN
        begin
          error = Failure.describe(failure) if failure
          outcome.payloads = transform(event, outcome, error: error) if publishes_failure?(event, failure)
          log_settlement(event, outcome.result, error) if payloads? || (error && TaskerCore.logger.debug?)
        rescue StandardError => e
          TaskerCore.logger.error("a step's end could not be logged", reason: Failure.shown(Failure.describe(e)))
        end
      ensure
        metadata = { started_at_us: outcome.started_at, execution_time_ms: outcome.milliseconds }
        # What a failed attempt published is none.
        events = event[:task_sequence_step].collected unless failure
        Thread.handle_interrupt(UNINTERRUPTIBLE) do
          answer(event, event_data: event, success: failure.nil?, result: outcome.result, error: error,
                        metadata: metadata, events: events, payloads: outcome.payloads)
        end
      end

      def answer(event, **completion)
        publish_step_completion(**completion)
      rescue Exception => e # rubocop:disable Lint/RescueException -- NoMemoryError, say
        fail_event(event, e)
      end

      # The minimum, when the completion could not be published.
      def fail_event(event, reason)
        return if reason.is_a?(StoppedError) # there is no engine any more

        error = Failure.describe(reason)
        shown = Failure.shown(error)
        @bridge.fail_step_event(event[:event_id], error[:class], "the step's completion failed: #{shown}")
        TaskerCore.logger.error("step completion failed", reason: shown)
      rescue Exception # rubocop:disable Lint/RescueException -- the poller tries once more
        nil
      end

      def killed(step)
        HandlerKilledError.new("the thread of step #{step.step_name}'s handler ended before the handler returned " \
                               "(Thread.exit, Thread#kill, or a jump out of it)")
      end

      def payloads?
        TaskerCore.configuration.log_payloads && TaskerCore.logger.debug?
      end

      # At debug level, and only with `log_payloads`: contexts and results are the application's data.
      def log_input(step)
        Telemetry::Context.with(step.trace_context) do
          TaskerCore.logger.debug("step input", step_name: step.step_name, attempt: step.attempt, input: step.input,
                                                dependencies: step.dependencies, config: step.config)
        end
      end

      # The engine's own line says that a step failed, and what follows. It does not have the backtrace.
      def log_settlement(event, result, error)
        step = event[:task_sequence_step]
        Telemetry::Context.with(step.trace_context) do
          if error
            TaskerCore.logger.debug("step handler raised", step_name: step.step_name, attempt: step.attempt,
                                                           "exception.type": error[:class],
                                                           "exception.stacktrace": error[:backtrace].join("\n"))
          elsif payloads?
            TaskerCore.logger.debug("step result", step_name: step.step_name, attempt: step.attempt,
                                                   result: JsonText.parse(result))
          end
        end
      end
    end
  end
end
