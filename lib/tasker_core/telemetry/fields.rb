# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: how Ruby values enter telemetry: fields of log lines, attributes of spans and events, labels of metrics.
    # They are masked (see {Filter}) and made plain: Strings in UTF-8, numbers, true, false, nil. A Hash or an Array
    # becomes an Array with its JSON text, as the extension expects it. Every value from Ruby passes here. Refuses: to
    # raise for any value.
    module Fields
      # Bytes of one text; the rest is cut, with a mark.
      MAX_TEXT_BYTES = 16 * 1024
      MAX_MESSAGE_BYTES = 64 * 1024
      MAX_DEPTH = 10
      MAX_ITEMS = 1000

      class << self
        # @param values [Hash]
        # @return [Hash] with the same keys, as valid text
        def plain(values)
          plain!(values.dup)
        end

        # As {plain}, in place.
        # @param values [Hash] the caller's own, not frozen and without a default
        # @return [Hash] the same one, unless a key has to change
        def plain!(values)
          filter = Filter.current
          values.each do |name, value|
            return plain!(values.transform_keys { |each| key(each) }) unless name.equal?(key(name))

            shown = filter.masked?(name) ? filter.mask : scalar(name, value, filter)
            values[name] = shown unless shown.equal?(value)
          end
        end

        # @param key [Object]
        # @return [String, Symbol] valid UTF-8
        def key(key)
          key = text(key) unless key.is_a?(Symbol) || (key.instance_of?(String) && key.encoding == Encoding::UTF_8)
          return key if key.is_a?(Symbol) ? key.name.valid_encoding? : key.valid_encoding?

          text(key)
        end

        # @param hash [Hash]
        # @return [Hash] a masked copy, nested values included
        def filter(hash)
          nested(hash, Filter.current, nil, 0)
        end

        # @param message [Object] the argument of a Logger
        # @return [String] the text of the line
        def message(message)
          case message
          when String then text(message, MAX_MESSAGE_BYTES)
          when Exception then error("#{message.message} (#{message.class})", MAX_MESSAGE_BYTES)
          when Hash, Array, Struct then JSON.generate(nested(message, Filter.current, nil, 0))
          else text(message.inspect, MAX_MESSAGE_BYTES)
          end
        end

        # @param string [#to_s]
        # @param limit [Integer] bytes
        # @return [String] valid UTF-8
        def text(string, limit = MAX_TEXT_BYTES)
          string = string.to_s
          return string if string.encoding == Encoding::UTF_8 && string.bytesize <= limit && string.valid_encoding?

          Worker::Failure.text(string, limit)
        end

        # @param string [#to_s] the message of an exception
        # @param limit [Integer] bytes
        # @return [String] valid UTF-8, with the values of masked keys masked
        def error(string, limit = MAX_TEXT_BYTES)
          Filter.current.prose(text(string, limit))
        end

        private

        def scalar(key, value, filter)
          value = filter.censor(key, value) if filter.procs?
          case value
          when String then text(value)
          when Integer then value.bit_length < 64 ? value : value.to_s
          when Symbol, true, false, nil, Float then value
          else
            value = nested(value, filter, key, 0)
            value.is_a?(Hash) || value.is_a?(Array) ? [JSON.generate(value)] : value
          end
        rescue StandardError => e
          "a #{value.class} that cannot be shown (#{e.class})"
        end

        # The value as plain JSON values.
        def nested(value, filter, path, depth)
          case value
          when String then text(value)
          when Symbol then value.name
          when Integer, true, false, nil then value
          when Float then value.finite? ? value : value.to_s
          when Hash then nested_hash(value, filter, path, depth)
          when Array then nested_array(value, filter, path, depth)
          when Exception then error("#{value.class}: #{value.message}")
          when Time then value.iso8601(6)
          else nested_object(value, filter, path, depth)
          end
        end

        def nested_hash(hash, filter, path, depth)
          return "…" if depth >= MAX_DEPTH

          hash.first(MAX_ITEMS).to_h do |key, value|
            next [text(key), filter.mask] if filter.masked?(key, path)

            value = filter.censor(key, value) if filter.procs?
            [text(key), nested(value, filter, path ? "#{path}.#{key}" : key.to_s, depth + 1)]
          end
        end

        def nested_array(array, filter, path, depth)
          return "…" if depth >= MAX_DEPTH

          array.first(MAX_ITEMS).map { |item| nested(item, filter, path, depth + 1) }
        end

        # Objects whose to_s shows their contents appear as a masked Hash.
        def nested_object(value, filter, path, depth)
          if value.respond_to?(:to_unsafe_h) then nested_hash(value.to_unsafe_h, filter, path, depth)
          elsif shows_contents?(value) then nested_hash(value.to_h, filter, path, depth)
          elsif value.is_a?(Set) then nested_array(value.to_a, filter, path, depth)
          else
            text(value)
          end
        end

        # Data came with Ruby 3.2; OpenStruct may not be loaded.
        def shows_contents?(value)
          value.is_a?(Struct) || value.respond_to?(:to_hash) ||
            (defined?(::OpenStruct) && value.is_a?(::OpenStruct)) ||
            (RUBY_VERSION >= "3.2" && value.is_a?(::Data))
        end
      end
    end
  end
end
