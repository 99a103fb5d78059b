# frozen_string_literal: true

module TaskerCore
  class EventSubscriber
    # How often an event is tried, and how long it waits in between: as a step's `retry`.
    class Retries
      DEFAULTS = { max_attempts: 3, backoff: :exponential, base: 1.0, cap: 300.0, jitter: 0.1 }.freeze
      BACKOFFS = %i[none linear exponential fibonacci].freeze

      # @return [Integer] all attempts, the first included
      attr_reader :max_attempts

      # @param options [Hash] some of {DEFAULTS}
      # @raise [InvalidInputError]
      def initialize(options = {})
        unknown = options.keys.map(&:to_sym) - DEFAULTS.keys
        refuse("unknown #{unknown.join(', ')}; known: #{DEFAULTS.keys.join(', ')}") unless unknown.empty?

        read(DEFAULTS.merge(options.transform_keys(&:to_sym)))
      end

      # @param attempt [Integer] the one that failed
      # @param failure [Hash] as {Worker::Failure.describe} has it
      # @return [Float, nil] seconds until the next attempt; nil: there is none
      def delay(attempt, failure)
        return unless failure[:retryable] && attempt < @max_attempts

        failure[:retry_after]&.to_f || spread([@base * growth(attempt), @cap].min)
      end

      private

      def read(settings)
        @max_attempts = check(settings, :max_attempts, "a number from 1 to 100") do |count|
          count.is_a?(Integer) && (1..100).cover?(count)
        end
        backoff = check(settings, :backoff, "one of #{BACKOFFS.join(', ')}") do |name|
          BACKOFFS.include?(name.to_s.to_sym)
        end
        @backoff = backoff.to_s.to_sym
        @base = check(settings, :base, "seconds, 0 or more") { |seconds| seconds?(seconds) }
        @cap = check(settings, :cap, "seconds, 0 or more") { |seconds| seconds?(seconds) }
        @jitter = check(settings, :jitter, "a share from 0 to 1") { |share| seconds?(share) && share <= 1 }
      end

      def seconds?(value)
        value.is_a?(Numeric) && value >= 0
      end

      def growth(attempt)
        case @backoff
        when :none then 0
        when :linear then attempt
        when :exponential then 2**(attempt - 1)
        else (1...attempt).inject([1, 1]) { |(one, two), _| [two, one + two] }.first
        end
      end

      def spread(seconds)
        [seconds * (1 + (@jitter * ((2 * rand) - 1))), @cap].min.to_f
      end

      def check(settings, key, wanted)
        value = settings[key]
        yield(value) ? value : refuse("#{key} must be #{wanted}, not #{value.inspect}")
      end

      def refuse(reason)
        raise InvalidInputError, "retry: #{reason}"
      end
    end
  end
end
