# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # The superclass of your own instruments: see {TaskerCore.counter}, {TaskerCore.histogram},
    # {TaskerCore.gauge}. Labels must have few different values, so no ids.
    class Instrument
      NAME = %r{\A[A-Za-z][A-Za-z0-9_./-]{0,254}\z}
      UNIT = /\A[!-~]{1,63}\z/

      # @return [String]
      attr_reader :name
      # @return [String, nil]
      attr_reader :description, :unit

      # @api private
      def initialize(name, description: nil, unit: nil)
        @name = name.to_s
        @description = Fields.text(description) unless description.nil?
        @unit = unit.to_s unless unit.nil? || unit.to_s.empty?
        unless NAME.match?(@name)
          raise InvalidInputError, "#{name.inspect} cannot be an instrument's name: it must be a letter, followed by " \
                                   "letters, digits, _ . / or -, 255 characters at most"
        end
        return if @unit.nil? || (@unit.valid_encoding? && UNIT.match?(@unit))

        raise InvalidInputError, "#{name}: #{unit.inspect} cannot be a unit: it must be at most 63 visible ASCII " \
                                 "characters, in UCUM: ms, By, {order}"
      end

      def inspect
        "#<#{self.class} #{name}>"
      end

      private

      # The first metric starts phase 2 of telemetry, as a line or a span does, in a forked child too.
      def record_as(kind, number, labels)
        Telemetry.arm unless Native.telemetry_ready?
        Native.public_send(kind, name, number, labels(labels), description, unit)
        self
      end

      def number(value)
        number = Float(value, exception: false) if value.is_a?(Numeric)
        return number if number&.finite?

        raise InvalidInputError, "#{name}: #{value.inspect} is not a finite number"
      end

      def labels(labels)
        return "{}" if labels.empty?

        JSON.generate(Fields.plain(labels).transform_values { |value| value.is_a?(Array) ? value.first : value })
      end
    end

    # Counts something that only grows.
    class Counter < Instrument
      # @param value [Numeric] 0 or more
      # @param labels [Hash{Symbol => Object}]
      # @return [self]
      def add(value = 1, **labels)
        number = number(value)
        raise InvalidInputError, "#{name}: a counter cannot count #{value}; use a gauge" if number.negative?

        record_as(:metric_counter, number, labels)
      end
    end

    # Records a distribution: durations, sizes.
    class Histogram < Instrument
      # @param value [Numeric]
      # @param labels [Hash{Symbol => Object}]
      # @return [self]
      def record(value, **labels)
        record_as(:metric_histogram, number(value), labels)
      end
    end

    # Records the current value of something.
    class Gauge < Instrument
      # @param value [Numeric]
      # @param labels [Hash{Symbol => Object}]
      # @return [self]
      def set(value, **labels)
        record_as(:metric_gauge, number(value), labels)
      end
    end

    # The instruments of this process: one for each name, with the description and the unit it was first given.
    module Instruments
      @lock = Mutex.new
      @known = {}

      class << self
        # @return [Instrument] the one with that name
        # @raise [InvalidInputError] the name belongs to another kind
        def fetch(kind, name, **about)
          known = @known[name.to_s] || @lock.synchronize { @known[name.to_s] ||= kind.new(name, **about) }
          return known if known.instance_of?(kind)

          raise InvalidInputError, "#{name} is a #{known.class.name} already; give one of them another name"
        end
      end
    end
  end
end
