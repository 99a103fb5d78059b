# frozen_string_literal: true

# Owns: every exception of the library. The first group is for handlers to raise, the second is what the
# library raises. The extension looks its classes up here by name.
module TaskerCore
  # Everything the library raises.
  class Error < StandardError; end

  # ---- Raised by handlers: what should become of the step -------------------------------------------

  # The attempt failed and another one may help. Any other StandardError says the same; this one may say
  # when.
  class RetryableError < Error
    # @return [Float, nil] seconds until the next attempt; wins over the template's backoff
    attr_reader :retry_after
    # @return [String, nil] the application's own code
    attr_reader :code

    # @param message [String]
    # @param retry_after [Numeric, nil] seconds
    # @param code [String, Symbol, nil]
    def initialize(message = nil, retry_after: nil, code: nil)
      super(message)
      @retry_after = retry_after
      @code = code
    end
  end

  # The step failed and no further attempt is made.
  class PermanentError < Error
    # @return [String, nil] the application's own code
    attr_reader :code

    # @param message [String]
    # @param code [String, Symbol, nil]
    def initialize(message = nil, code: nil)
      super(message)
      @code = code
    end
  end

  # What the step was given is wrong; another attempt would be given the same.
  class ValidationError < PermanentError
    # @return [String, nil] the field that is wrong
    attr_reader :field

    # @param message [String]
    # @param field [String, Symbol, nil]
    # @param code [String, Symbol, nil]
    def initialize(message = nil, field: nil, code: nil)
      super(message, code: code)
      @field = field
    end
  end

  # ---- Failures of a step that the library finds -----------------------------------------------------

  # The handler returned what JSON cannot say.
  class UnserializableResultError < PermanentError; end

  # The handler returned more than `max_result_bytes`.
  class ResultTooLargeError < PermanentError; end

  # The step asked for the result of a step it does not depend on.
  class UnknownDependencyError < PermanentError; end

  # No handler of that name. A worker with newer code may have it, so the step is retried.
  class HandlerNotFoundError < Error; end

  # The handler's thread ended under it: `Thread.exit`, `Thread#kill`, or a jump out of the handler.
  class HandlerKilledError < Error; end

  # ---- Raised to callers -----------------------------------------------------------------------------

  # A setting that cannot be used, or came too late.
  class ConfigurationError < Error; end

  # A template that cannot be used; says which file, which step, and the cure.
  class TemplateError < Error; end

  # A request that cannot be taken as it stands; nothing was changed.
  class InvalidInputError < Error; end

  # The context does not fit the template's input_schema.
  class SchemaViolationError < InvalidInputError
    # @return [String, nil] JSON pointer of the first value that does not fit
    attr_reader :field

    # @param message [String]
    # @param field [String, nil]
    def initialize(message = nil, field: nil)
      super(message)
      @field = field
    end
  end

  # Some requests of a batch were refused. The others are submitted.
  class BatchError < InvalidInputError
    # @return [Array<Task, Error>] what became of each request, in order
    attr_reader :results

    # @param message [String]
    # @param results [Array<Task, Error>]
    def initialize(message = nil, results: [])
      super(message)
      @results = results
    end
  end

  # No such task, step or template.
  class NotFoundError < Error; end

  # The state does not allow what was asked.
  class IllegalTransitionError < Error; end

  # The database refused, or is gone.
  class StoreError < Error; end

  # The engine is stopped, or not open in this process.
  class StoppedError < Error; end

  # The task was not final in time.
  class TimeoutError < Error; end

  # A fault of the library's own.
  class InternalError < Error; end
end
