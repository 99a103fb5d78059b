# frozen_string_literal: true

module TaskerCore
  # What a handler knows about the step it runs. Contexts, results and configs are {JsonHash}es: they have Symbol keys,
  # and can be read with Strings too. They are parsed on first use, and are the same object for the whole attempt.
  class StepContext
    # @param event [Hash] a step event from the engine
    def initialize(event)
      @event = event
      @step = event[:task_sequence_step]
      @has_results = false
    end

    # @return [Time, nil] when this attempt began
    def started_at
      Task.time(@started_us || @event[:dispatched_at_us])
    end

    # @param micros [Integer] since the epoch
    # @return [Integer] the same
    # @api private
    def began(micros)
      @started_us = micros
    end

    # @return [Object, nil] what {#results=} was given
    attr_reader :results

    # Sets the step's result, in place of the handler's return value.
    # @param value [Object] anything that JSON can represent
    def results=(value)
      @has_results = true
      @results = value
    end

    # @return [Boolean] whether {#results=} was called, with whatever value
    def results?
      @has_results
    end

    # @return [JsonHash] the task's context, as it was submitted
    def input
      @input ||= JsonText.parse(@step[:context])
    end

    # @param name [String, Symbol] a step this one depends on
    # @return [JsonHash, Array, String, Numeric, true, false, nil] what that step returned
    # @raise [UnknownDependencyError] this step does not depend on it
    def dependency(name)
      results = dependencies
      name = name.to_sym
      results.fetch(name) do
        known = results.empty? ? "none" : results.keys.join(", ")
        raise UnknownDependencyError, "step #{step_name} does not depend on #{name}; its dependencies: #{known}"
      end
    end

    # @return [JsonHash] the results of the steps this one depends on, by step name
    def dependencies
      @dependencies ||= (@step[:dependency_results] || {}).each_with_object(JsonHash.new) do |(name, text), results|
        results[name.to_sym] = JsonText.parse(text)
      end
    end

    # @return [JsonHash] the step's config from its template
    def config
      @config ||= JsonText.parse(@step[:config])
    end

    # @return [Integer] this attempt; the first is 1
    def attempt
      @step[:attempt]
    end

    # @return [Integer] the attempt after which the step fails for good
    def max_attempts
      @step[:max_attempts]
    end

    # @return [Boolean]
    def last_attempt?
      attempt >= max_attempts
    end

    # @return [Float, nil] seconds the attempt may take
    def timeout_seconds
      @step[:timeout_seconds]
    end

    # @return [Boolean] whether this attempt's result is no longer wanted: the task was cancelled, or the attempt timed
    #   out or was released by a stop. A long handler should ask now and then, and return.
    def cancelled?
      Native.step_cancelled?(@event[:event_id])
    end

    # @return [String] the template's names
    def namespace
      @step[:namespace]
    end

    # @return [String]
    def task_name
      @step[:task_name]
    end

    # @return [String]
    def step_name
      @step[:step_name]
    end

    # @return [String] the handler's name in the template
    def handler
      @step[:handler]
    end

    # @return [String] the same in every step and every attempt of the task
    def task_uuid
      @event[:task_uuid]
    end

    # @return [String] the same in every attempt of the step: use it as an idempotency key
    def step_uuid
      @event[:step_uuid]
    end

    # @return [String] this attempt
    def event_id
      @event[:event_id]
    end

    # @return [String]
    def correlation_id
      @event[:correlation_id]
    end

    # @return [String, nil] the correlation id of the workflow that started this one
    def parent_correlation_id
      @event[:parent_correlation_id]
    end

    # @return [String, nil] the task's trace; opaque
    def trace_id
      @event[:trace_id]
    end

    # @return [String, nil] the attempt's worker.step_execution span; opaque
    def span_id
      @event[:span_id]
    end

    # @return [String, nil] W3C traceparent for calls to other services
    def traceparent
      @event[:traceparent]
    end

    # Keeps a domain event until the attempt's end: see {EventPublisher#publish_event}.
    # @param event [String] JSON
    # @api private
    def collect(event)
      (@collected ||= []) << event
    end

    # @return [Integer]
    # @api private
    def collected_events
      @collected ? @collected.size : 0
    end

    # @return [String, nil] what was collected, as a JSON Array
    # @api private
    def collected
      "[#{@collected.join(',')}]" if @collected
    end

    # @return [Telemetry::Context, nil] the context of the attempt's handler.execution span
    # @api private
    def trace_context
      return unless (traceparent = self.traceparent)

      @trace_context ||= Telemetry::Context.new(traceparent, correlation_id: correlation_id)
    end

    def inspect
      "#<#{self.class} #{namespace}/#{task_name} #{step_name} attempt=#{attempt}/#{max_attempts} task=#{task_uuid}>"
    end
  end
end
