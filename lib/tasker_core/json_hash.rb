# frozen_string_literal: true

module TaskerCore
  # A JSON object in Ruby: a Hash with Symbol keys, so that pattern matching and `**` work, which can be read with
  # Strings too: `input[:order_id]` and `input["order_id"]` are the same.
  class JsonHash < Hash
    def [](key)
      super(key.is_a?(String) ? key.to_sym : key)
    end

    def fetch(key, *default, &block)
      super(key.is_a?(String) ? key.to_sym : key, *default, &block)
    end

    def key?(key)
      super(key.is_a?(String) ? key.to_sym : key)
    end
    alias has_key? key?
    alias include? key?
    alias member? key?

    def dig(key, *rest)
      value = self[key]
      rest.empty? || value.nil? ? value : value.dig(*rest)
    end

    def values_at(*keys)
      keys.map { |key| self[key] }
    end

    def slice(*keys)
      super(*keys.map { |key| key.is_a?(String) ? key.to_sym : key })
    end

    def except(*keys)
      super(*keys.map { |key| key.is_a?(String) ? key.to_sym : key })
    end
  end
end
