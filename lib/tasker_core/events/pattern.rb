# frozen_string_literal: true

module TaskerCore
  module Events
    # Which names of events a subscription is for. Names are words with dots between them; `*` stands for one word, `#`
    # for any number of words, none included: `order.*`, `order.#`, `*.failed`, `#`.
    class Pattern
      WORD = /\A(?:[*#]|[\w-]+)\z/
      EVERYTHING = "#"
      MAX_CHARACTERS = 256
      private_constant :WORD

      # @param text [String, Symbol]
      # @raise [InvalidInputError] it is not a pattern; the message says why
      def initialize(text)
        @text = text.to_s
        readable = @text.valid_encoding? && @text.size.between?(1, MAX_CHARACTERS)
        @words = readable ? @text.split(".", -1) : []
        wrong = @words.empty? ? @text : @words.find { |word| !WORD.match?(word) }
        raise InvalidInputError, refusal(wrong) if wrong
      end

      # @param name [String] an event's
      # @return [Boolean]
      def match?(name)
        words = name.split(".", -1)
        at = own = 0
        many = nil # where the last # stands, and the word up to which it reaches
        while at < words.size
          case @words[own]
          when "#" then many = [own, at]
          when "*", words[at] then at += 1
          else
            return false unless many

            own, at = many = [many[0], many[1] + 1]
          end
          own += 1
        end
        @words.drop(own).all?("#")
      end

      # @return [String] as it was given
      def to_s
        @text
      end

      def inspect
        "#<#{self.class} #{@text}>"
      end

      private

      def refusal(word)
        "#{Telemetry::Fields.text(@text, MAX_CHARACTERS).inspect} cannot be a pattern for events, because of " \
          "#{Telemetry::Fields.text(word, MAX_CHARACTERS).inspect}: write words with dots between them, * for one " \
          "whole word, # for any number of words, #{MAX_CHARACTERS} characters at most"
      end
    end
  end
end
