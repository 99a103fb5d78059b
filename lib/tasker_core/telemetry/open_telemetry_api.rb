# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: the exchange with the context of the opentelemetry-api gem, when the application has loaded it: handlers
    # and {TaskerCore.span} blocks run inside its context, so that its instrumentation nests under our spans; and its
    # current span is the parent of ours, and of submitted tasks. Refuses: requiring the gem, and letting it break a
    # handler: an error before the block runs is ignored.
    module OpenTelemetryApi
      class << self
        # @param own [Context, nil] ours
        # @return [Context, nil] the gem's, when its current span is another one: then it is the inner one
        def current(own)
          context = ::OpenTelemetry::Trace.current_span.context
          return own unless context.valid?

          span_id = context.hex_span_id
          return own if own && own.span_id == span_id && own.trace_id == context.hex_trace_id

          flags = context.trace_flags.sampled? ? "01" : "00"
          Context.new("00-#{context.hex_trace_id}-#{span_id}-#{flags}", correlation_id: own&.correlation_id)
        rescue StandardError
          own
        end

        # Runs the block inside the gem's context for ours.
        # @param context [Context]
        def within(context, &block)
          theirs = theirs(context)
          theirs ? ::OpenTelemetry::Context.with_current(theirs) { block.call } : yield
        end

        private

        def theirs(context)
          flags = ::OpenTelemetry::Trace::TraceFlags
          span_context = ::OpenTelemetry::Trace::SpanContext.new(
            trace_id: [context.trace_id].pack("H*"), span_id: [context.span_id].pack("H*"),
            trace_flags: context.sampled? ? flags::SAMPLED : flags::DEFAULT
          )
          span = ::OpenTelemetry::Trace.non_recording_span(span_context)
          ::OpenTelemetry::Trace.context_with_span(span)
        rescue StandardError
          nil
        end
      end
    end
  end
end
