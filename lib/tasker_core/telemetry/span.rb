# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # A span of your own, while its block runs: see {TaskerCore.span}. It is recorded when the block ends. In a trace
    # that is not kept it has ids and records nothing.
    class Span
      # Further events of a span are counted, not kept.
      MAX_EVENTS = 1000
      private_constant :MAX_EVENTS

      class << self
        # @see TaskerCore.span
        def open(name, attributes, &block)
          parent = Context.current
          traceparent = Native.start_span(parent&.traceparent, parent&.remote? || false) || start(parent)
          context = Context.new(traceparent, correlation_id: parent&.correlation_id)
          span = new(name, context, parent, attributes)
          Context.with(context) { span.run(&block) }
        end

        # Runs the block in the span of a message's consumer: the root of a trace of its own, with a link to the span
        # that the message comes from.
        # @api private
        # @param name [String]
        # @param attributes [Hash{Symbol => Object}]
        # @param link [String, nil] that span's traceparent
        # @param correlation_id [String, nil]
        def consume(name, attributes, link:, correlation_id:, &block)
          traceparent = Native.start_span(nil, false) || start(nil)
          context = Context.new(traceparent, correlation_id: correlation_id)
          span = new(name, context, nil, attributes, link: link || "")
          Context.with(context) { span.run(&block) }
        end

        # Records a span that is over already, under the current one.
        # @api private
        # @param name [String]
        # @param attributes [Hash{Symbol => Object}]
        # @param from [Integer] microseconds since the epoch
        # @param to [Integer] microseconds since the epoch
        # @param events [Array<Array(String, Integer, Hash)>] name, when, attributes
        # @param error [String, nil]
        def record(name, attributes, from:, to:, events: [], error: nil)
          self.open(name, attributes) { |span| span.was(from, to, events, error) }
        end

        private

        # This process has no telemetry yet: the first use arms it, also in a forked child.
        def start(parent)
          Telemetry.arm
          Native.start_span(parent&.traceparent, parent&.remote? || false)
        end
      end

      # @return [Context] the span's own
      attr_reader :context

      # @api private
      # @param link [String, nil] of a consumer's span: the traceparent it is linked to, or ""
      def initialize(name, context, parent, attributes, link: nil)
        @name = name
        @context = context
        @parent = parent
        @link = link
        @attributes = attributes
        @events = nil
        @dropped_events = 0
        @error = nil
        @epoch = ProcessFork.epoch
        @began = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
        @start = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
      end

      # Adds attributes, or replaces those with the same keys.
      # @param more [Hash] attributes whose keys are not Symbols
      # @param attributes [Hash{Symbol => Object}]
      # @return [self]
      def set(more = nil, **attributes)
        @attributes = @attributes.merge(more || {}, attributes)
        self
      end

      # Adds an event with the current time.
      # @param name [String]
      # @param more [Hash] attributes whose keys are not Symbols
      # @param attributes [Hash{Symbol => Object}]
      # @return [self]
      def event(name, more = nil, **attributes)
        if (@events ||= []).size < MAX_EVENTS
          @events << [name, now, more ? more.merge(attributes) : attributes]
        else
          @dropped_events += 1
        end
        self
      end

      # Adds an exception as an event, and marks the span as failed. An exception that leaves the block is recorded
      # automatically.
      # @param exception [Exception]
      # @return [self]
      def record_exception(exception)
        failure = Worker::Failure.describe(exception)
        stacktrace = failure[:backtrace].join("\n")
        message = Worker::Failure.shown(failure)
        event("exception", "exception.type": failure[:class], "exception.message": message,
                           "exception.stacktrace": stacktrace)
        fail("#{failure[:class]}: #{message}")
      end

      # Marks the span as failed, without an exception.
      # @param reason [String]
      # @return [self]
      def fail(reason)
        @error = reason.to_s
        self
      end

      # @return [String] 32 hex digits
      def trace_id
        @context.trace_id
      end

      # @return [String] 16 hex digits
      def span_id
        @context.span_id
      end

      # @return [String] for calls to other services
      def traceparent
        @context.traceparent
      end

      # @return [Boolean] whether the trace is kept
      def sampled?
        @context.sampled?
      end

      # @api private
      def was(from, to, events, error)
        @start = from
        @end = to
        @events = events unless events.empty?
        @error = error
      end

      # @api private
      def run
        yield self
      rescue Exception => e # rubocop:disable Lint/RescueException -- recorded, then raised again
        record_exception(e) unless e.is_a?(SystemExit) && e.success?
        raise
      ensure
        finish
      end

      def inspect
        "#<#{self.class} #{@name} #{traceparent}>"
      end

      private

      def now
        @start + Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond) - @began
      end

      # If the process forks inside the block, the span stays with the parent.
      def finish
        return unless @context.sampled? && Native.spans_enabled? && @epoch == ProcessFork.epoch

        Native.record_span(Fields.text(@name, 1024), @context.traceparent, @parent&.traceparent,
                           @parent&.remote? || false, @start, @end || now, attributes, @events && events,
                           @error && Fields.error(@error), @link)
      rescue StandardError => e
        TaskerCore.logger.warn("a span could not be recorded", error: e)
      end

      def attributes
        plain = Fields.plain!(@attributes)
        plain[:correlation_id] = @context.correlation_id if @context.correlation_id
        plain[:dropped_events] = @dropped_events if @dropped_events.positive?
        plain
      end

      def events
        @events.map { |name, at, attributes| [Fields.text(name, 1024), at, Fields.plain(attributes)] }
      end
    end
  end
end
