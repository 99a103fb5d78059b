# frozen_string_literal: true

module TaskerCore
  module Worker
    # Owns: running the publisher classes of a step's declarations: which of them an outcome needs, and what becomes of
    # what they return or raise. A declaration comes as `[event name, class name, condition, delivery mode]`; without a
    # mode it is taken for durable.
    module StepPublishers
      CONDITIONS = {
        "success" => ->(error, _last) { error.nil? },
        "failure" => ->(error, _last) { !error.nil? },
        "retryable_failure" => ->(error, last) { !error.nil? && error[:retryable] && !last },
        "permanent_failure" => ->(error, last) { !error.nil? && (!error[:retryable] || last) },
        "always" => ->(_error, _last) { true }
      }.freeze
      CONSTANT = /\A(?:::)?[A-Z]\w*(?:::[A-Z]\w*)*\z/
      private_constant :CONDITIONS, :CONSTANT

      class << self
        # @param declarations [Array<Array>] the event's :publishers
        # @param step [StepContext]
        # @param result [String, nil] JSON text
        # @param error [Hash, nil] as {Failure.describe} returns it
        # @param milliseconds [Float] how long the handler ran
        # @return [String, nil] JSON: the payloads by the events' names
        # @raise [Exception] what a publisher of an event that is not fast raised, when the attempt had succeeded
        def payloads(declarations, step, milliseconds:, result: nil, error: nil)
          wanted = declarations.select { |_, _, condition| applies?(condition || "success", error, step) }
          return if wanted.empty?

          outcome = outcome(step, result, error, milliseconds)
          made = wanted.filter_map do |declaration|
            text = attempt(declaration, outcome, step, error)
            "#{JSON.generate(declaration.first)}:#{text}" if text
          end
          "{#{made.join(',')}}" unless made.empty?
        end

        private

        def applies?(condition, error, step)
          CONDITIONS.fetch(condition) { CONDITIONS["always"] }.call(error, step.last_attempt?)
        end

        def outcome(step, result, error, milliseconds)
          JsonHash.new.merge!(
            success: error.nil?, result: JsonText.parse(result),
            error: error && JsonHash.new.merge!(error.slice(:class, :message, :code, :field)),
            metadata: JsonHash.new.merge!(attempt_number: step.attempt, execution_time_ms: milliseconds)
          )
        end

        # An event that is not durable, and one of an attempt that has failed already, must not decide about it.
        def attempt(declaration, outcome, step, error)
          payload(declaration, outcome, step)
        rescue StandardError, NotImplementedError => e
          raise unless error || declaration[3].to_s == "fast"

          Events.log_error(declaration.first, e)
        end

        def payload((name, publisher, condition, mode), outcome, step)
          declaration = JsonHash.new.merge!({ name: name, publisher: publisher, condition: condition || "success",
                                              delivery_mode: mode }.compact)
          value = find(name, publisher).new.transform_payload(outcome, declaration, step)
          text = JsonText.generate(value, "payload")
          limit = Events::Publication::MAX_PAYLOAD_BYTES
          return text if text.bytesize <= limit

          raise ResultTooLargeError, "event #{name}: the payload of #{publisher} is #{text.bytesize} bytes of JSON; " \
                                     "the limit is #{limit}. Store it elsewhere, and publish where it is"
        rescue JsonText::Unwritable => e
          raise UnserializableResultError, "event #{name}: what #{publisher} returned: #{e.message}"
        end

        def find(name, publisher)
          raise NameError, "not the name of a class" unless CONSTANT.match?(publisher)

          found = Object.const_get(publisher)
          return found if found.is_a?(Class) && found.method_defined?(:transform_payload)

          raise PublisherNotFoundError, "event #{name}: #{publisher} does not define " \
                                        "transform_payload(step_result, declaration, step_context)"
        rescue NameError => e
          raise PublisherNotFoundError, "event #{name}: no publisher #{publisher.inspect} (#{e.message[/.*/]}). " \
                                        "Define the class, or correct `publisher` in the template"
        end
      end
    end
  end
end
