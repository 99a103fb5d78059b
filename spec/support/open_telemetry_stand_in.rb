# frozen_string_literal: true

# What of the opentelemetry-api gem's documented API this library uses, for specs: the gem is not there. A
# tracer of the application's own would be `in_span`.
module OpenTelemetryStandIn
  TraceFlags = Struct.new(:sampled) do
    def sampled?
      sampled
    end
  end
  TraceFlags::DEFAULT = TraceFlags.new(false)
  TraceFlags::SAMPLED = TraceFlags.new(true)

  # Ids are binary Strings.
  class SpanContext
    attr_reader :trace_id, :span_id, :trace_flags

    def initialize(trace_id: "\0" * 16, span_id: "\0" * 8, trace_flags: TraceFlags::DEFAULT, tracestate: nil,
                   remote: false)
      @trace_id = trace_id
      @span_id = span_id
      @trace_flags = trace_flags
      @tracestate = tracestate
      @remote = remote
    end

    def hex_trace_id
      trace_id.unpack1("H*")
    end

    def hex_span_id
      span_id.unpack1("H*")
    end

    def valid?
      trace_id != "\0" * 16 && span_id != "\0" * 8
    end
  end

  Span = Struct.new(:context)

  # OpenTelemetry::Context: one for each fiber.
  module Context
    class << self
      def current
        Thread.current[:__stand_in_context__] || {}
      end

      def with_current(context)
        outer = Thread.current[:__stand_in_context__]
        Thread.current[:__stand_in_context__] = context
        yield context
      ensure
        Thread.current[:__stand_in_context__] = outer
      end
    end
  end

  # OpenTelemetry::Trace
  module Trace
    SpanContext = OpenTelemetryStandIn::SpanContext
    TraceFlags = OpenTelemetryStandIn::TraceFlags
    INVALID = Span.new(SpanContext.new)

    class << self
      def current_span(context = Context.current)
        context.fetch(:span, INVALID)
      end

      def context_with_span(span, parent_context: Context.current)
        parent_context.merge(span: span)
      end

      def non_recording_span(span_context)
        Span.new(span_context)
      end
    end
  end

  # What an instrumentation of the application's does: a span under the current one.
  # @yieldparam span_context [SpanContext]
  def self.in_span(span_id)
    parent = Trace.current_span.context
    trace_id = parent.valid? ? parent.trace_id : "\1" * 16
    context = SpanContext.new(trace_id: trace_id, span_id: span_id, trace_flags: TraceFlags::SAMPLED)
    Context.with_current(Trace.context_with_span(Span.new(context))) { yield context }
  end
end
