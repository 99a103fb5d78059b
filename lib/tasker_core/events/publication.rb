# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: one domain event that this process publishes: what is checked of it before anything is written, and how it
    # crosses the FFI layer. The payload becomes text here, so that what the caller changes later does not count.
    # @api private
    class Publication
      NAME = /\A[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+\z/
      MAX_NAME = 128
      MAX_KEY_BYTES = 255
      # 256 KiB of JSON: an event says what happened and where to look.
      MAX_PAYLOAD_BYTES = 256 * 1024
      MODES = %w[durable fast broadcast].freeze
      private_constant :NAME

      # The most that one attempt publishes.
      MAX_OF_ATTEMPT = 1000

      # @return [String]
      attr_reader :name

      # A UUID of version 7 (RFC 9562, method 3): ids that one process makes sort by the time they were made at, to 0.25
      # µs.
      # @return [String]
      def self.uuid
        nanoseconds = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)
        milliseconds, rest = nanoseconds.divmod(1_000_000)
        fraction = (rest << 12) / 1_000_000
        high, last, low = Random.urandom(8).unpack("nnN") # of the system: a forked child has others
        format("%08x-%04x-7%03x-%04x-%04x%08x", milliseconds >> 16, milliseconds & 0xffff, fraction,
               0x8000 | (high & 0x3fff), last, low)
      end

      # @raise [InvalidInputError] what is wrong
      def initialize(name, payload, delivery_mode: :durable, key: nil, namespace: nil)
        @name = check_name(name)
        @delivery_mode = check_mode(delivery_mode)
        @key = check_key(key)
        @namespace = namespace&.to_s
        @payload = text(payload)
      end

      # @return [Boolean] whether this process's subscribers may be told of it
      def fast?
        @delivery_mode != "durable"
      end

      # Keeps it with the attempt that publishes it.
      # @param step [StepContext]
      # @return [String] its id, a UUID of version 7
      # @raise [InvalidInputError] it cannot be kept there
      def collect(step)
        refuse_in(step)
        event_id = Publication.uuid
        step.collect(%({"event_id":"#{event_id}",#{body}))
        event_id
      end

      # @param step [StepContext, nil] whose handler publishes it
      # @param context [Telemetry::Context, nil] the current one
      # @return [String] JSON: what `Native.publish_events` takes
      def request(step, context)
        about = { namespace: @namespace || step&.namespace || "default", correlation_id: context&.correlation_id,
                  traceparent: context&.traceparent }
        about.update(task_uuid: step.task_uuid, step_uuid: step.step_uuid, step_name: step.step_name) if step
        %(#{JSON.generate(about.compact).chop},#{body})
      end

      private

      def refuse_in(step)
        if @namespace && @namespace != step.namespace
          raise InvalidInputError, "event #{@name}: a step's events are published in its namespace, " \
                                   "#{step.namespace}; publish with immediate: true in another one"
        end
        return if step.collected_events < MAX_OF_ATTEMPT

        raise InvalidInputError, "event #{@name}: the attempt has published #{MAX_OF_ATTEMPT} events already, " \
                                 "the most it may"
      end

      # What both have. A name and a mode that were checked need no escapes.
      def body
        key = %(,"key":#{JSON.generate(@key)}) if @key
        %("name":"#{@name}","delivery_mode":"#{@delivery_mode}"#{key},"payload":#{@payload}})
      end

      def check_name(name)
        text = name.to_s
        return text if text.size <= MAX_NAME && text.valid_encoding? && NAME.match?(text)

        raise InvalidInputError, "#{Telemetry::Fields.text(text, MAX_NAME).inspect} cannot be the name of an event: " \
                                 "write lower-case words (a-z, then a-z, 0-9 and _) with dots between them, two " \
                                 "at least, such as order.payment_processed, #{MAX_NAME} characters at most"
      end

      def check_mode(mode)
        text = mode.to_s
        return text if MODES.include?(text)

        raise InvalidInputError, "event #{@name}: delivery_mode must be one of #{MODES.join(', ')}, not #{mode.inspect}"
      end

      def check_key(key)
        return if key.nil?

        text = key.to_s
        text = text.encode(Encoding::UTF_8) if text.ascii_only?
        readable = text.encoding == Encoding::UTF_8 && text.valid_encoding?
        return text if readable && text.bytesize.between?(1, MAX_KEY_BYTES) && !text.include?("\0")

        raise InvalidInputError, "event #{@name}: the key must be text of 1 to #{MAX_KEY_BYTES} bytes, without NUL"
      end

      def text(payload)
        unless payload.is_a?(Hash)
          raise InvalidInputError, "event #{@name}: the payload must be a Hash, not #{payload.class}"
        end

        text = JsonText.generate(payload, "payload")
        return text if text.bytesize <= MAX_PAYLOAD_BYTES

        raise InvalidInputError, "event #{@name}: the payload is #{text.bytesize} bytes of JSON; the limit is " \
                                 "#{MAX_PAYLOAD_BYTES}. Store it elsewhere, and publish where it is"
      rescue JsonText::Unwritable => e
        raise InvalidInputError, "event #{@name}: #{e.message}"
      end
    end
  end
end
