# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # A position in a trace: a span's ids, whether the trace is kept, and the task it belongs to. Each fiber has its
    # own; a step's context holds for its whole handler thread. Threads and fibers that a block starts do not inherit
    # it: pass it with {TaskerCore.context} and {TaskerCore.with_context}.
    class Context
      CURRENT = :tasker_core_context
      STEP = :tasker_core_step
      private_constant :CURRENT, :STEP

      class << self
        # @return [Context, nil] that of the innermost span of this fiber; otherwise OpenTelemetry's, if the
        #   application has loaded its API; otherwise that of the step that this thread runs
        def current
          own = Thread.current[CURRENT] || Thread.current.thread_variable_get(STEP)&.trace_context
          defined?(::OpenTelemetry::Trace) ? OpenTelemetryApi.current(own) : own
        end

        # @return [StepContext, nil] the step whose handler runs in this thread
        # @api private
        def step
          Thread.current.thread_variable_get(STEP)
        end

        # Runs the block with this context, or without one if it is nil.
        # @param context [Context, nil]
        def with(context, &block)
          fiber = Thread.current
          outer = fiber[CURRENT]
          fiber[CURRENT] = context
          if context && defined?(::OpenTelemetry::Trace)
            OpenTelemetryApi.within(context, &block)
          else
            yield
          end
        ensure
          fiber[CURRENT] = outer
        end

        # Runs the block as the step's handler.
        # @param step [StepContext]
        def with_step(step, &block)
          thread = Thread.current
          thread.thread_variable_set(STEP, step)
          if defined?(::OpenTelemetry::Trace) && step.trace_context
            OpenTelemetryApi.within(step.trace_context, &block)
          else
            yield
          end
        ensure
          thread.thread_variable_set(STEP, nil)
        end

        # @param traceparent [String, nil] of another process
        # @return [Context, nil] nil if it is not W3C trace context
        def parse(traceparent)
          text = traceparent && Native.read_traceparent(Fields.text(traceparent))
          text && new(text, remote: true)
        end
      end

      # @return [String] W3C `traceparent`, for calls to other services
      attr_reader :traceparent
      # @return [String, nil] the task's
      attr_reader :correlation_id

      # @api private
      def initialize(traceparent, correlation_id: nil, remote: false)
        @traceparent = traceparent
        @correlation_id = correlation_id
        @remote = remote
      end

      # @return [String] 32 hex digits
      def trace_id
        @traceparent[3, 32]
      end

      # @return [String] 16 hex digits
      def span_id
        @traceparent[36, 16]
      end

      # @return [Boolean] whether the trace is kept
      def sampled?
        @traceparent.end_with?("1")
      end

      # @return [Boolean] whether the span belongs to another process
      def remote?
        @remote
      end

      def ==(other)
        other.is_a?(Context) && other.traceparent == traceparent
      end
      alias eql? ==

      def hash
        traceparent.hash
      end

      def inspect
        "#<#{self.class} #{traceparent}>"
      end
    end
  end
end
