# frozen_string_literal: true

module TaskerCore
  module Worker
    # Owns: what is kept of an exception: bounded, valid UTF-8, whatever the exception's own methods do. The store keeps
    # its own words; logs and spans show it masked.
    #
    # Another attempt is made after any exception except {PermanentError} and its subclasses (ValidationError, results
    # that have no JSON form or are too large, unknown dependencies). That includes SystemExit, an uncaught throw and a
    # killed thread: the next attempt may succeed, and max_attempts limits the number.
    module Failure
      MAX_MESSAGE_BYTES = 10 * 1024
      MAX_BACKTRACE_LINES = 50
      MAX_LINE_BYTES = 1024

      # Used when an exception cannot be described.
      UNKNOWN = { class: "Exception", message: "the handler raised an exception that cannot be described",
                  masked: nil, code: nil, field: nil, backtrace: [].freeze, retryable: true, retry_after: nil }.freeze

      CLASS = Kernel.instance_method(:class)
      NAME = Module.instance_method(:name)
      private_constant :CLASS, :NAME

      class << self
        # @param exception [Exception]
        # @return [Hash] the completion's :error
        def describe(exception)
          message = message(exception)
          masked = Telemetry::Fields.error(message, MAX_MESSAGE_BYTES)
          {
            class: class_name(exception),
            message: TaskerCore.configuration.mask_stored_errors ? masked : message,
            masked: (masked unless masked == message),
            code: label(exception, :code),
            field: label(exception, :field),
            backtrace: backtrace(exception),
            retryable: !(PermanentError === exception), # rubocop:disable Style/CaseEquality -- is_a? may be its own
            retry_after: retry_after(exception)
          }
        rescue Exception # rubocop:disable Lint/RescueException -- whatever it is, the attempt must fail
          UNKNOWN
        end

        # @param described [Hash] as {describe} returns it
        # @return [String] the message as logs and spans may show it
        def shown(described)
          described[:masked] || described[:message]
        end

        # @return [String] valid UTF-8, at most `limit` bytes and a mark of what was cut
        def text(string, limit)
          string = string.to_s
          string = string.encoding == Encoding::BINARY ? string.dup.force_encoding("UTF-8") : string
          string = string.encode("UTF-8", invalid: :replace, undef: :replace) unless string.encoding == Encoding::UTF_8
          return string.scrub if string.bytesize <= limit

          "#{string.byteslice(0, limit).scrub('')}… (#{string.bytesize} bytes)"
        end

        private

        # Does not rely on methods that the class may have overridden.
        def class_name(exception)
          text(NAME.bind_call(CLASS.bind_call(exception)) || "anonymous exception class", MAX_LINE_BYTES)
        end

        def message(exception)
          kind = case exception
                 when SystemExit then "the handler called exit or abort (status #{exception.status}): "
                 when UncaughtThrowError then "the handler threw: "
                 end
          text("#{kind}#{exception.message}", MAX_MESSAGE_BYTES)
        rescue Exception => e # rubocop:disable Lint/RescueException -- a message method of the application's own
          "the exception's own message raised #{class_name(e)}"
        end

        def label(exception, name)
          value = exception.public_send(name) if exception.respond_to?(name)
          case value
          when String, Symbol, Integer then text(value, MAX_LINE_BYTES)
          end
        rescue Exception # rubocop:disable Lint/RescueException -- `raise NotImplementedError` is none of StandardError
          nil
        end

        def backtrace(exception)
          (exception.backtrace || []).first(MAX_BACKTRACE_LINES).map { |line| text(line, MAX_LINE_BYTES) }
        rescue Exception # rubocop:disable Lint/RescueException -- as above
          []
        end

        def retry_after(exception)
          return unless RetryableError === exception # rubocop:disable Style/CaseEquality -- is_a? may be its own

          seconds = Float(exception.retry_after, exception: false) || -1.0
          seconds if seconds.finite? && seconds >= 0
        rescue Exception # rubocop:disable Lint/RescueException -- as above
          nil
        end
      end
    end
  end
end
