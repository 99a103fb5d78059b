# frozen_string_literal: true

require_relative "telemetry/prose"
require_relative "telemetry/filter"
require_relative "telemetry/fields"
require_relative "telemetry/open_telemetry_api"
require_relative "telemetry/context"
require_relative "telemetry/span"
require_relative "telemetry/metrics"
require_relative "telemetry/settings"

module TaskerCore
  # What this process reports about itself. Where it goes is set by the environment: see
  # docs/operations/telemetry_settings.md.
  #
  # Exporting begins when the engine opens, or with your first line, span or metric, and again in a forked child. It
  # ends when the process ends, within three seconds.
  module Telemetry
    # Seconds; no flush or shutdown takes longer.
    TIMEOUT = 3.0

    @settings = Settings.new
    @at_exit = false

    class << self
      # Runs the block and returns the spans that ended in this process meanwhile, exported or not: for a demo, a
      # console or a spec. At most the latest 10,000.
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

      # @param hash [Hash] anything that may be logged
      # @return [Hash] a masked copy: see {Filter}
      def filter(hash)
        Fields.filter(hash)
      end

      # Exports everything that waits, now.
      # @param timeout [Numeric] seconds, at most 3
      # @return [Boolean] whether nothing is left
      def flush(timeout: TIMEOUT)
        complete = Native.flush_telemetry(timeout.to_f)
        @gave_up_at = complete ? nil : now
        complete
      end

      # Seconds that closing may spend on exporting: short if a flush has just timed out.
      # @api private
      def closing_timeout
        gave_up_at = @gave_up_at
        gave_up_at && now - gave_up_at < TIMEOUT ? 0.3 : TIMEOUT
      end

      # Starts to export while the process runs, or moves the export to another collector, in a worker or a process that
      # only submits. No span is lost. What waits for the previous collector is sent there first, for at most `timeout`
      # seconds. Settings that are not given stay as configured.
      #
      # @param timeout [Numeric] seconds, at most 3
      # @param settings [Hash] the keys of `configuration.telemetry`: endpoint, protocol, headers, service_name, …
      # @return [Boolean] whether the previous collector took everything
      # @raise [ConfigurationError] the settings cannot be used; nothing has changed
      def upgrade!(timeout: TIMEOUT, **settings)
        wanted = @settings.merge(enabled: true, **settings)
        complete = Native.upgrade_telemetry(wanted.to_json, timeout.to_f)
        @settings = wanted
        settled
        complete
      end

      # Exports what waits and stops exporting, until {upgrade!}. The console log continues.
      # @param timeout [Numeric] seconds, at most 3
      # @return [Boolean] whether everything was exported
      def shutdown(timeout: TIMEOUT)
        @settings = @settings.merge(enabled: false)
        Native.shutdown_telemetry(timeout.to_f)
      end

      # @return [Boolean] whether this process exports
      def exporting?
        Native.telemetry_exporting?
      end

      # Starts telemetry in this process as configured. Settings that cannot be used log one line, and the environment's
      # are used instead.
      # @api private
      def arm
        arm!
      rescue ConfigurationError => e
        Native.log(::Logger::ERROR, "telemetry settings are not used: #{e.message}", nil, nil, nil)
        Native.arm_telemetry("{}")
      end

      # @api private
      # @raise [ConfigurationError]
      def arm!
        Native.arm_telemetry(@settings.to_json)
        settled
      end

      # The settings that take precedence over the environment.
      # @api private
      def settings_json
        @settings.to_json
      end

      # Forgets what {upgrade!} and {shutdown} changed.
      # @api private
      def reset
        @settings = Settings.new
      end

      private

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      def settled
        TaskerCore.logger.follow_settings
        return if @at_exit || !Native.telemetry_exporting?

        @at_exit = true
        # Children of a fork inherit it. An open engine flushes when it closes, which is at exit too.
        at_exit { Native.shutdown_telemetry(TIMEOUT) unless Native.open? }
      end
    end
  end
end
