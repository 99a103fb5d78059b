# frozen_string_literal: true

module TaskerCore
  # What this process tells of itself. Where it goes is set by the environment: see docs/telemetry.md.
  module Telemetry
    class << self
      # Runs the block and gives the spans that ended in this process meanwhile, exported or not: for a demo,
      # a console, a spec. At most the latest 10,000.
      #
      # @return [Array<Hash>] name, trace_id, span_id, parent_span_id (nil for a root), start_us, end_us
      #   (microseconds since the epoch), attributes, events, links, error (nil when it did not fail)
      def capture
        Native.capture_spans(true)
        yield
        spans
      ensure
        Native.capture_spans(false)
      end

      # @return [Array<Hash>] the spans kept so far, inside {capture}
      def spans
        JSON.parse(Native.captured_spans, symbolize_names: true)
      end

      # Exports what waits, now.
      # @param timeout [Numeric] seconds, at most 3
      # @return [Boolean] whether nothing is left
      def flush(timeout: 3.0)
        Native.flush_telemetry(timeout)
      end
    end
  end
end
