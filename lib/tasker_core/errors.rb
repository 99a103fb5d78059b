# frozen_string_literal: true

# Owns: every exception of the library. Handlers raise those of the first group, the library raises the others. The
# extension finds its classes here by name.
module TaskerCore
  # The superclass of everything the library raises.
  class Error < StandardError; end

  # ---- Raised by handlers: what happens to the step -------------------------------------------

  # The attempt failed, and another one may succeed. Any other exception means the same; this one can say when to try
  # again.
  class RetryableError < Error
    # @return [Float, nil] seconds until the next attempt; overrides the template's backoff
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

  # The step's input is wrong, so another attempt would fail too.
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

  # ---- Failures of a step that the library detects -----------------------------------------------------

  # The handler's return value cannot be serialized to JSON.
  class UnserializableResultError < PermanentError; end

  # The handler returned more than `max_result_bytes`.
  class ResultTooLargeError < PermanentError; end

  # The handler asked for the result of a step that its step does not depend on.
  class UnknownDependencyError < PermanentError; end

  # No handler has that name. A worker with newer code may have it, so the step is retried.
  class HandlerNotFoundError < Error; end

  # No publisher class has the name that a template gives. A worker with newer code may have it, so the step is retried.
  class PublisherNotFoundError < Error; end

  # The handler's thread ended before the handler returned: `Thread.exit`, `Thread#kill`, or a jump out of the handler.
  class HandlerKilledError < Error; end

  # ---- Raised to callers -----------------------------------------------------------------------------

  # A setting cannot be used, or was changed too late.
  class ConfigurationError < Error; end

  # A template cannot be used. The message says which file, which step, and how to correct it.
  class TemplateError < Error; end

  # An argument is wrong; nothing was changed.
  class InvalidInputError < Error; end

  # The context does not match the template's input_schema.
  class SchemaViolationError < InvalidInputError
    # @return [String, nil] JSON pointer of the first value that does not match
    attr_reader :field

    # @param message [String]
    # @param field [String, nil]
    def initialize(message = nil, field: nil)
      super(message)
      @field = field
    end
  end

  # Some requests of a batch were refused. The others were submitted.
  class BatchError < InvalidInputError
    # @return [Array<Task, Error>] the outcome of each request, in order
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

  # The state of the task or step does not allow the operation.
  class IllegalTransitionError < Error; end

  # The database refused the operation, or is not available.
  class StoreError < Error; end

  # The engine is stopped, or is not open in this process.
  class StoppedError < Error; end

  # The task did not become final in time.
  class TimeoutError < Error; end

  # A bug in the library. Please report it.
  class InternalError < Error; end
end
