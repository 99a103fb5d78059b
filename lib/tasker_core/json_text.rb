# frozen_string_literal: true

module TaskerCore
  # Owns: what crosses the FFI layer as JSON text, both ways. Refuses values that JSON cannot represent, rather than
  # writing something else: JSON's own generator turns any object into its `to_s`.
  module JsonText
    # A value that cannot be written. The message says where it is.
    class Unwritable < StandardError; end

    MAX_DEPTH = 100
    PARSE = { symbolize_names: true, object_class: JsonHash, max_nesting: false }.freeze
    private_constant :PARSE

    class << self
      # @param value [Object] Hash, Array, String, Symbol, number, true, false, nil; Date and Time (as
      #   ISO 8601), what has `as_json`, a `to_json` of its own, or is a Struct
      # @param name [String] what the value is called in an error
      # @return [String]
      # @raise [Unwritable]
      def generate(value, name = "result")
        value = normalize(value, name, 0) unless plain?(value, 0)
        JSON.generate(value)
      rescue JSON::JSONError, EncodingError => e
        raise Unwritable, "#{name} cannot be written as JSON: #{e.message}"
      end

      # @param text [String, nil]
      # @return [JsonHash, Array, String, Numeric, true, false, nil]
      def parse(text)
        text && JSON.parse(text, PARSE)
      end

      private

      # Whether the value can be written as it is: the common case, and cheap to check.
      def plain?(value, depth)
        case value
        when String then value.encoding == Encoding::UTF_8 && value.valid_encoding?
        when Symbol, Integer, true, false, nil then true
        when Float then value.finite?
        when Hash then depth < MAX_DEPTH && value.all? { |key, item| plain_key?(key) && plain?(item, depth + 1) }
        when Array then depth < MAX_DEPTH && value.all? { |item| plain?(item, depth + 1) }
        else false
        end
      end

      def plain_key?(key)
        key.is_a?(Symbol) || (key.is_a?(String) && key.encoding == Encoding::UTF_8 && key.valid_encoding?)
      end

      # The value, made of plain values only.
      def normalize(value, path, depth)
        refuse(path, "is nested deeper than #{MAX_DEPTH} levels, or contains itself") if depth > MAX_DEPTH
        case value
        when Hash then normalize_hash(value, path, depth)
        when Array then value.each_with_index.map { |item, index| normalize(item, "#{path}[#{index}]", depth + 1) }
        when String then text(value, path)
        when Symbol, Integer, true, false, nil then value
        when Float then value.finite? ? value : refuse(path, "is #{value}, which JSON cannot represent")
        else convert(value, path, depth)
        end
      end

      def normalize_hash(hash, path, depth)
        hash.to_h do |key, item|
          case key
          when String, Symbol, Numeric, true, false, nil then nil
          else refuse(path, "has a key that is an instance of #{key.class}; use Strings or Symbols")
          end
          [text(key.to_s, "a key of #{path}"), normalize(item, "#{path}[#{key.inspect}]", depth + 1)]
        end
      end

      def text(string, path)
        return string if string.encoding == Encoding::UTF_8 && string.valid_encoding?

        # Bytes without an encoding are most likely UTF-8.
        utf8 = string.encoding == Encoding::BINARY ? string.dup.force_encoding("UTF-8") : string.encode("UTF-8")
        return utf8 if utf8.valid_encoding?

        refuse(path, "is not valid UTF-8; encode it (Base64 for binary data) before you return it")
      rescue EncodingError => e
        refuse(path, "cannot be encoded as UTF-8 (#{e.message})")
      end

      def convert(value, path, depth)
        if value.respond_to?(:as_json) then normalize(value.as_json, path, depth + 1)
        elsif value.respond_to?(:iso8601) then value.iso8601(*fraction(value))
        elsif value.is_a?(Struct) then normalize(value.to_h, path, depth + 1)
        elsif own_to_json?(value) then normalize(JSON.parse(value.to_json), path, depth + 1)
        else
          refuse(path, "is an instance of #{value.class}, which has no JSON form; return a Hash, Array, String, " \
                       "number, true, false or nil, or give it an as_json method")
        end
      end

      def fraction(value)
        value.is_a?(Time) ? [6] : []
      end

      def own_to_json?(value)
        value.respond_to?(:to_json) && !value.method(:to_json).owner.to_s.start_with?("JSON::")
      end

      def refuse(path, reason)
        raise Unwritable, "#{path} #{reason}"
      end
    end
  end
end
