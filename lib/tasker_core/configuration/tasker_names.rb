# frozen_string_literal: true

module TaskerCore
  class Configuration
    # Owns: the settings of telemetry that applications written for Tasker know by other names.
    #
    #     Tasker.configuration do |config|
    #       config.otel_telemetry_service_name = "my_app_tasker"
    #       config.otel_telemetry_service_version = "1.2.3"
    #       config.telemetry_filter_mask = "***REDACTED***"
    #     end
    #
    # They are the defaults of `telemetry[:service_name]` and `telemetry[:service_version]`: what is set there wins, and
    # both win over the environment. Refuses: settings of its own; `filter_parameters` has one name.
    module TaskerNames
      # The name that an application's own OpenTelemetry SDK gets when nobody chose one.
      SERVICE_NAME = "tasker"

      # Class methods.
      module ClassMethods
        # @yieldparam configuration [Configuration] if a block is given
        # @return [Configuration] the settings of this process: see {TaskerCore.configuration}
        def configuration(&block)
          TaskerCore.configuration(&block)
        end
      end

      # @api private
      def self.included(base)
        base.extend(ClassMethods)
      end

      # @return [String] the service's name in traces, logs and metrics: `telemetry[:service_name]`, otherwise what was
      #   assigned here, otherwise OTEL_SERVICE_NAME, otherwise "tasker". The engine's own export is then called
      #   "tasker_core"
      def otel_telemetry_service_name
        service(:service_name, "OTEL_SERVICE_NAME", SERVICE_NAME)
      end

      # @param name [String, Symbol]
      # @raise [ConfigurationError] the engine is open, or it is not a name
      def otel_telemetry_service_name=(name)
        name_service(:service_name, "otel_telemetry_service_name", name)
      end

      # @return [String] the service's version: `telemetry[:service_version]`, otherwise what was assigned here,
      #   otherwise OTEL_SERVICE_VERSION, otherwise {TaskerCore::VERSION}
      def otel_telemetry_service_version
        service(:service_version, "OTEL_SERVICE_VERSION", VERSION)
      end

      # @param version [String, Symbol]
      # @raise [ConfigurationError] the engine is open, or it is not a version
      def otel_telemetry_service_version=(version)
        name_service(:service_version, "otel_telemetry_service_version", version)
      end

      # @return [String] the text shown instead of a masked value: another name for `filter_mask`
      def telemetry_filter_mask
        filter_mask
      end

      # @param mask [String]
      # @raise [ConfigurationError] the engine is open
      def telemetry_filter_mask=(mask)
        self.filter_mask = mask
      end

      # @return [Hash{Symbol => Object}] `telemetry`, with what was assigned here for what it leaves open
      # @api private
      def telemetry_settings
        @service.merge(telemetry.to_h.transform_keys(&:to_sym).compact)
      end

      private

      def service(name, variable, default)
        [telemetry_settings[name], ENV.fetch(variable, nil)].map(&:to_s).find { |text| !text.empty? } || default
      end

      def name_service(key, setting, value)
        refuse_late(setting)
        unless (value.is_a?(String) || value.is_a?(Symbol)) && !value.empty?
          raise ConfigurationError, "#{setting} must be a String that is not empty, not #{value.inspect}"
        end

        @service = @service.merge(key => value.to_s)
      end
    end
  end
end
