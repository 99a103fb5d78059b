# frozen_string_literal: true

module TaskerCore
  module Telemetry
    # Owns: the way every value of Ruby's takes into telemetry: fields of log lines, attributes of spans and
    # events, labels of metrics. Here they are masked (see {Filter}) and made plain: Strings in UTF-8, numbers,
    # true, false, nil; a Hash or an Array becomes an Array of its JSON text, which is what the extension takes
    # for it. Nothing of Ruby's leaves by another way. Refuses: to raise for any value.
    module Fields
      # Bytes of one text; the rest is cut, with a mark.
      MAX_TEXT_BYTES = 16 * 1024
      MAX_MESSAGE_BYTES = 64 * 1024
      MAX_DEPTH = 10
      MAX_ITEMS = 1000

      class << self
        # @param values [Hash]
        # @return [Hash] by the same keys, as far as they are text
        def plain(values)
          filter = Filter.current
          plain = {}
          values.each do |name, value|
            name = key(name)
            plain[name] = filter.masked?(name) ? filter.mask : scalar(name, value, filter)
          end
          plain
        end

        # @param key [Object]
        # @return [String, Symbol] valid UTF-8
        def key(key)
          key = text(key) unless key.is_a?(Symbol) || (key.instance_of?(String) && key.encoding == Encoding::UTF_8)
          return key if key.is_a?(Symbol) ? key.name.valid_encoding? : key.valid_encoding?

          text(key)
        end

        # @param hash [Hash]
        # @return [Hash] a copy with what must not be seen masked, nested values too
        def filter(hash)
          nested(hash, Filter.current, nil, 0)
        end

        # @param message [Object] as a Logger takes it
        # @return [String] what the line says
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

        # @param string [#to_s] what an exception says, or quotes
        # @param limit [Integer] bytes
        # @return [String] valid UTF-8, with what stands behind a masked key masked
        def error(string, limit = MAX_TEXT_BYTES)
          Filter.current.prose(text(string, limit))
        end

        private

        def scalar(key, value, filter)
          value = filter.censor(key, value) if filter.procs?
          case value
          when String then text(value)
          when Symbol, true, false, nil, Float then value
          when Integer then value.bit_length < 64 ? value : value.to_s
          else
            value = nested(value, filter, key, 0)
            value.is_a?(Hash) || value.is_a?(Array) ? [JSON.generate(value)] : value
          end
        rescue StandardError => e
          "a #{value.class} that cannot be shown (#{e.class})"
        end

        # Plain all through, as JSON says it.
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

        # What shows its contents in its to_s shows them here as a Hash, masked.
        def nested_object(value, filter, path, depth)
          if value.respond_to?(:to_unsafe_h) then nested_hash(value.to_unsafe_h, filter, path, depth)
          elsif shows_contents?(value) then nested_hash(value.to_h, filter, path, depth)
          elsif value.is_a?(Set) then nested_array(value.to_a, filter, path, depth)
          else
            text(value)
          end
        end

        # Data came with Ruby 3.2; OpenStruct has to be loaded by somebody.
        def shows_contents?(value)
          value.is_a?(Struct) || value.respond_to?(:to_hash) ||
            (defined?(::OpenStruct) && value.is_a?(::OpenStruct)) ||
            (RUBY_VERSION >= "3.2" && value.is_a?(::Data))
        end
      end
    end
  end
end
