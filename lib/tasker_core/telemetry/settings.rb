# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: the settings of telemetry that take precedence over the environment: `configuration.telemetry`, and changes
    # made while the process runs. Refuses: checking them; the extension does.
    class Settings
      # Settings that may be Hashes, and are passed on as `name=value,…`.
      PAIRS = %i[headers resource_attributes trace_sample step_sample].freeze

      # @param changes [Hash]
      def initialize(changes = {})
        @changes = changes
      end

      # @param changes [Hash]
      # @return [Settings] with these changes added
      def merge(changes)
        Settings.new(@changes.merge(changes))
      end

      # @return [String]
      def to_json(*)
        settings = TaskerCore.configuration.telemetry_settings.merge(@changes)
        JSON.generate(settings.to_h { |name, value| [name, value(name, value)] })
      rescue JSON::JSONError => e
        raise ConfigurationError, "telemetry: #{e.message.scrub}"
      end

      # Leaves out the values: headers may be secrets.
      def inspect
        "#<#{self.class} #{@changes.keys.join(' ')}>"
      end

      private

      def value(name, value)
        case value
        when Hash then PAIRS.include?(name) ? value.map { |key, item| "#{key}=#{encode(item)}" }.join(",") : value
        when Symbol then value.name
        else value
        end
      end

      # Percent-encoded as in W3C Baggage, where `,` and `%` must be encoded.
      def encode(item)
        item.to_s.b.gsub(%r{[^A-Za-z0-9._~:/@!$&'()*+;=-]}) { |byte| format("%%%02X", byte.ord) }
      end
    end
  end
end
