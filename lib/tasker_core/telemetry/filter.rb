# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: which values are masked before they leave the process, by their keys. A key is masked when it matches the
    # library's own list, `configuration.filter_parameters` or, in Rails, `config.filter_parameters`:
    #
    # - Strings and Symbols: part of the key, in any case; one with a dot: part of the whole path
    #   ("credit_card.number" is the key `number` in `credit_card`)
    # - Regexps: anywhere in the key; one with an escaped dot: anywhere in the path
    # - Procs: called with the key and a copy of the value, which they may change in place
    #
    # In the messages of exceptions the text after such a key is masked too: see {Prose}. Refuses: to search other
    # text for secrets. A log line's message, or a String under another key, is not changed.
    class Filter
      DEFAULT = /
        passw|passphrase|pwd|secret|token|credential|authorization|cookie|session_?id|
        (?:api|private|access|encryption|signing)[_-]?key|crypt|salt|certificate|
        credit_?card|card[_-]?(?:number|num|no)(?:_|\z)|account[_-]?number|cvv|cvc|
        (?:\A|_)(?:otp|ssn|pan|iban)(?:_|\z)
      /xi
      DEFAULT_PATHS = /card\.(?:number|no|num)/i
      CACHED_KEYS = 10_000
      NONE = [].freeze
      private_constant :CACHED_KEYS, :NONE

      class << self
        # @return [Filter] of the current settings
        def current
          configuration = TaskerCore.configuration
          own = configuration.filter_parameters
          rails = defined?(::Rails.application) ? rails_parameters : NONE
          filter = @current
          return filter if filter&.of?(own, rails, configuration.filter_mask)

          @current = new(own, rails, configuration.filter_mask)
        end

        private

        def rails_parameters
          ::Rails.application&.config&.filter_parameters || NONE
        rescue StandardError
          NONE
        end
      end

      # @return [String] the text shown instead of a masked value
      attr_reader :mask

      # @param own [Array] patterns
      # @param rails [Array] more of them
      # @param mask [String]
      def initialize(own = NONE, rails = NONE, mask = "[FILTERED]")
        @own = own
        @rails = rails
        @sizes = [own.size, rails.size]
        @mask = mask
        sort([*own, *rails])
        @known = {}
      end

      # @return [Boolean] whether it was made from these settings; a list that has grown is another list
      def of?(own, rails, mask)
        own.equal?(@own) && rails.equal?(@rails) && mask == @mask && own.size == @sizes[0] && rails.size == @sizes[1]
      end

      # @param key [String, Symbol]
      # @param path [String, nil] the keys it is nested in, joined with dots
      # @return [Boolean]
      def masked?(key, path = nil)
        known = @known[key]
        known = remember(key) if known.nil?
        known || (!path.nil? && @paths.match?("#{path}.#{key}"))
      end

      # @param text [String] an exception's message, valid UTF-8
      # @return [String]
      def prose(text)
        Prose.mask(text, mask) { |key, path| masked?(key, path) || (key.include?(".") && @paths.match?(key)) }
      end

      # @return [Boolean] whether there are Procs to call with values
      def procs?
        !@procs.empty?
      end

      # @param key [String, Symbol]
      # @param value [Object]
      # @return [Object] the value after the Procs
      def censor(key, value)
        @procs.each do |block|
          value = value.dup if value.is_a?(String)
          block.arity == 3 || block.arity < -2 ? block.call(key.to_s, value, {}) : block.call(key.to_s, value)
        end
        value
      end

      private

      def sort(patterns)
        @procs, patterns = patterns.partition { |pattern| pattern.respond_to?(:call) }
        patterns = patterns.map { |pattern| pattern.is_a?(Regexp) ? pattern : /#{Regexp.escape(pattern.to_s)}/i }
        deep, flat = patterns.partition { |pattern| pattern.source.include?("\\.") }
        @keys = Regexp.union(DEFAULT, *flat)
        @paths = Regexp.union(DEFAULT_PATHS, *deep)
      end

      def remember(key)
        @known.clear if @known.size >= CACHED_KEYS
        @known[key] = @keys.match?(key.to_s)
      end
    end
  end
end
