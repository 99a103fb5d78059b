# frozen_string_literal: true

module TaskerCore
  module Events
    # A lifecycle event: what happened to a task or a step, as subscribers of {Publisher} get it.
    class Event
      # @return [String] one of {Constants}, or a name of the application's
      attr_reader :name
      # @return [Hash{Symbol => Object}] as {EventPayloadBuilder} makes it; frozen
      attr_reader :payload
      # @return [Symbol] :engine, when the engine said so; :application, when a handler or another part of it did
      attr_reader :source
      # @return [Telemetry::Context, nil] where in a trace it was published. It is the current one while a subscriber
      #   runs
      attr_reader :context
      # @return [Array(String, String), nil] when what it is about began and ended, if it did
      # @api private
      attr_reader :period

      # @api private
      def initialize(name, payload, source:, context: nil, period: nil)
        @name = name
        @payload = payload.freeze
        @source = source
        @context = context
        @period = period
      end

      # @param key [Symbol, String]
      # @return [Object, nil] a value of the payload
      def [](key)
        @payload[key.to_sym]
      end

      # @return [String, nil] what joins logs, spans and rows of the task
      def correlation_id
        @context&.correlation_id
      end

      # @return [Hash{Symbol => Object}] what ActiveSupport::Notifications is given; it may be changed
      # @api private
      def notification
        @payload.dup
      end

      # @return [Hash]
      def to_h
        { name: name, payload: payload }
      end

      def deconstruct_keys(_keys)
        to_h
      end

      # Leaves out the payload.
      def inspect
        "#<#{self.class} #{name} source=#{source}>"
      end
    end
  end
end
