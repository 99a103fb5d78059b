# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # What a subscriber's class asked for, checked.
    class Subscription
      OPTIONS = %i[from ordered concurrency retry lease].freeze

      # @return [Class]
      attr_reader :subscriber
      # @return [String]
      attr_reader :group
      # @return [Integer] threads
      attr_reader :concurrency
      # @return [Retries]
      attr_reader :retries
      # @return [Float] seconds
      attr_reader :lease

      def initialize(subscriber, group, patterns, options)
        @subscriber = subscriber
        @group = group.to_s
        @patterns = patterns.flatten.map(&:to_s)
        unknown = options.keys - OPTIONS
        refuse("unknown option #{unknown.join(', ')}; known: #{OPTIONS.join(', ')}") unless unknown.empty?
        @retries = Retries.new(options.fetch(:retry, {}))
        @ordered = options.fetch(:ordered, false) ? true : false
        @from = from(options.fetch(:from, :now))
        @concurrency = number(options.fetch(:concurrency, 1), "concurrency", Integer, 1..100)
        @lease = number(options.fetch(:lease, 10.0), "lease", Numeric, 0.5..60).to_f
        check_names
        @fits = {}
      end

      # @return [Boolean] whether events with the same key are handled one after the other
      def ordered?
        @ordered
      end

      # @param name [String] an event's
      # @return [Boolean] whether the class wants it. A newer version of it may have told the group of others.
      def wants?(name)
        @fits.fetch(name) do
          fits = @patterns.any? { |pattern| Native.event_matches?(pattern, name.to_s) }
          @fits = @fits.size < 1000 ? @fits.merge(name => fits) : {}
          fits
        end
      end

      # @return [String] JSON, for the extension
      def to_json(*)
        JSON.generate(name: @group, patterns: @patterns, from: @from, key_order: @ordered)
      end

      private

      # A name that is wrong is wrong at once, not when a worker starts.
      def check_names
        refuse("a group needs a name of 1 to 128 bytes") unless (1..128).cover?(@group.bytesize)
        refuse("name the events: subscribes_to \"payment.*\", group: #{@group.inspect}") if @patterns.empty?
        @patterns.each { |pattern| Native.event_matches?(pattern, "a") }
      end

      def from(from)
        from = from.to_time if from.respond_to?(:to_time) && !from.is_a?(String)
        case from
        when :now, :beginning, "now", "beginning" then from.to_s
        when Time then from.to_f
        else refuse("from must be :now, :beginning or a Time, not #{from.inspect}")
        end
      end

      def number(value, name, kind, range)
        return value if value.is_a?(kind) && range.cover?(value)

        refuse("#{name} must be #{range.begin} to #{range.end}, not #{value.inspect}")
      end

      def refuse(reason)
        raise InvalidInputError, "#{@subscriber}: #{reason}"
      end
    end
  end
end
