# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: finding `key=value`, `key: value`, `"key": "value"`, `:key=>"value"`, `Key (key)=(value)` and
    # `Authorization: Bearer value` in text, so that the messages of exceptions, which often quote data, are
    # masked. Scans the text once, whatever it contains. Refuses: guessing. A value without a key is not changed.
    module Prose
      # A word, what may close it, and the sign that its value follows. It matches whole words only, without
      # backtracking, so that a very long word costs no more than other text.
      PAIR = /(?<![[:word:].-])(?<key>(?>[[:word:].-]+))[\\"'\])]{0,3}[ \t]{0,3}(?:=>|[:=])[ \t]{0,3}/
      QUOTED = /(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|\\+"(?:(?!\\+").)*+(?:\\+")?)/m
      BARE = /(?:(?:bearer|basic|digest|token)[ \t]+)?[^\s,;&"'<>{}\[\]()]+/i
      # Between two brackets: what is quoted, and what is neither quoted nor a bracket.
      INSIDE = /(?:"(?:[^"\\]|\\.)*+"?|[^"{}\[\]()]+)/m
      # How many levels of nested keys are tracked.
      MAX_NESTING = 10
      private_constant :PAIR, :QUOTED, :BARE, :INSIDE, :MAX_NESTING

      class << self
        # @param text [String] valid UTF-8
        # @param mask [String]
        # @yieldparam key [String]
        # @yieldparam path [String, nil] the keys it is nested in, joined with dots
        # @yieldreturn [Boolean] whether its value is to be masked
        # @return [String] the same object when nothing is masked
        def mask(text, mask)
          # Positions are in bytes, and lookbehind sees the text before them.
          scanner = StringScanner.new(text, fixed_anchor: true)
          masked = nil
          from = seen = 0
          open = [] # for each open brace the key before it, or nil
          while scanner.skip_until(PAIR)
            value = scanner.pos
            follow(open, text.byteslice(seen...value))
            seen = value
            key = scanner[:key]
            if yield(key, path(open)) && skip_value(scanner)
              (masked ||= +"") << text.byteslice(from...value) << mask
              from = seen = scanner.pos
            elsif scanner.peek(1) == "{" && open.size < MAX_NESTING
              open << key
              seen = scanner.pos += 1
            end
          end
          masked ? masked << text.byteslice(from..) : text
        end

        private

        # The text between two keys may open and close braces.
        def follow(open, between)
          between.scan(/[{}]/) { |brace| brace == "}" ? open.pop : (open << nil if open.size < MAX_NESTING) }
        end

        def path(open)
          keys = open.compact
          keys.join(".") unless keys.empty?
        end

        def skip_value(scanner)
          case scanner.peek(1)
          when "{", "[", "(" then skip_brackets(scanner)
          when '"', "'", "\\" then scanner.skip(QUOTED) || scanner.skip(/./m)
          else scanner.skip(BARE)
          end
        end

        # Brackets that are not closed extend to the end.
        def skip_brackets(scanner)
          depth = 0
          until scanner.eos?
            if scanner.skip(/[{\[(]/) then depth += 1
            elsif scanner.skip(/[}\])]/) then depth -= 1
            else
              scanner.skip(INSIDE)
              next
            end
            break if depth.zero?
          end
          true
        end
      end
    end
  end
end
