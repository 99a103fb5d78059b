# frozen_string_literal: true

module TaskerCore
  # A submitted task. Every reader queries the database until the task is final; after that the values are kept until
  # {#reload}.
  class Task
    FINAL_STATES = %w[complete error cancelled resolved_manually].freeze

    # A snapshot of one step of a task.
    class Step
      # @return [String]
      attr_reader :task_uuid, :step_uuid, :name, :handler, :state
      # @return [Integer]
      attr_reader :attempts, :max_attempts
      # @return [Object] what the handler returned, read from JSON
      attr_reader :result
      # @return [JsonHash, nil] class, message, code, field, backtrace, attempt, retryable, retry_after
      attr_reader :error
      # @return [Time, nil] when the next attempt is due
      attr_reader :due_at

      def initialize(view, task_uuid)
        @task_uuid = task_uuid
        @step_uuid, @name, @handler, @state = view.values_at(:step_uuid, :name, :handler, :state)
        @attempts, @max_attempts, @result, @error = view.values_at(:attempts, :max_attempts, :result, :error)
        @due_at = Task.time(view[:due_at])
      end

      def inspect
        "#<#{self.class} #{name} #{state} attempts=#{attempts}/#{max_attempts}>"
      end
    end

    # One change of state in a task's history.
    class Transition
      # @return [Time]
      attr_reader :created_at
      # @return [String, nil]
      attr_reader :from_state, :to_state
      # @return [String, nil] the step's name; nil for the task itself
      attr_reader :step
      # @return [JsonHash]
      attr_reader :metadata

      def initialize(view)
        @created_at = Task.time(view[:created_at])
        @from_state, @to_state, @step, @metadata = view.values_at(:from_state, :to_state, :step, :metadata)
      end

      def inspect
        "#<#{self.class} #{step || 'task'}: #{from_state} -> #{to_state}>"
      end
    end

    # Times cross the boundary as microseconds since the epoch.
    # @api private
    def self.time(micros)
      micros && Time.at(0, micros, :microsecond)
    end

    # @return [String]
    attr_reader :task_uuid
    alias task_id task_uuid

    # @param task_uuid [String]
    # @param submitted [Hash] the answer to the submission
    def initialize(task_uuid, submitted = {})
      @task_uuid = task_uuid
      @submitted = submitted
      @view = nil
    end

    # @return [String] never changes; joins logs, spans and rows
    def correlation_id
      @submitted[:correlation_id] || view[:correlation_id]
    end

    # @return [String, nil] 32 hex digits: this task's trace
    def trace_id
      @submitted[:trace_id] || view[:trace_id]
    end

    # @return [Boolean] false when the submission's idempotency key found an existing task
    def created?
      @submitted.fetch(:created, true)
    end

    # @return [String] pending, initializing, enqueuing_steps, steps_in_process, evaluating_results,
    #   waiting_for_dependencies, waiting_for_retry, blocked_by_failures, complete, error, cancelled or
    #   resolved_manually
    def state
      view[:state]
    end

    # @return [Boolean] complete, error, cancelled or resolved_manually
    def final?
      FINAL_STATES.include?(state)
    end

    # @return [Boolean]
    def complete?
      state == "complete"
    end

    # @return [String]
    def namespace
      view[:namespace]
    end

    # @return [String] the template's name
    def name
      view[:name]
    end

    # @return [String] the template's version
    def version
      view[:version]
    end

    # @return [Integer]
    def priority
      view[:priority]
    end

    # @return [JsonHash]
    def context
      view[:context]
    end

    # @return [String, nil]
    def parent_correlation_id
      view[:parent_correlation_id]
    end

    # @return [Time]
    def created_at
      Task.time(view[:created_at])
    end

    # @return [Time, nil]
    def completed_at
      Task.time(view[:completed_at])
    end

    # @return [Array<Step>] in the template's order
    def steps
      view[:steps].map { |step| Step.new(step, task_uuid) }
    end

    # @param name [String, Symbol]
    # @return [Step]
    def step(name)
      steps.find { |step| step.name == name.to_s } or
        raise NotFoundError, "task #{task_uuid} has no step #{name}; it has #{steps.map(&:name).join(', ')}"
    end

    # @return [JsonHash] results of the finished steps, by step name
    def result
      done = view[:steps].select { |step| %w[complete resolved_manually].include?(step[:state]) }
      done.each_with_object(JsonHash.new) { |step, results| results[step[:name].to_sym] = step[:result] }
    end

    # @return [JsonHash, nil] the error of the first failed step, with the step's name under :step
    def error
      failed = view[:steps].find { |step| step[:state] == "error" } or return
      JsonHash.new.merge!({ step: failed[:name] }, failed[:error] || {})
    end

    # Waits until the task is final. Ctrl-C, Thread#kill and Timeout interrupt it.
    # @param timeout [Numeric, nil] seconds; nil and Float::INFINITY wait forever
    # @return [self]
    # @raise [TimeoutError] it did not become final in time
    # @raise [InvalidInputError] the timeout is not a number of seconds
    def wait(timeout: nil)
      seconds = seconds(timeout)
      engine.open
      ended = Blocking.call { Native.wait(task_uuid, seconds) }
      unless ended == true
        state = ended ? "still #{ended}" : "not readable"
        raise TimeoutError, "task #{task_uuid} was #{state} after #{timeout} s; is a worker running?"
      end

      reload
    end

    # Cancels the task: steps that have not started never run, and running handlers see `step.cancelled?`.
    # @return [String] the state after that
    def cancel
      change { Native.cancel(task_uuid) }
    end

    # Runs a failed step again, with all its attempts.
    # @param step [String, Symbol, Step]
    # @return [self]
    def rerun(step)
      change { Native.rerun_step(task_uuid, step_name(step)) }
      self
    end

    # Declares a failed step done, with the result that its dependents see. Without a step, declares the failed task
    # done.
    # @param step [String, Symbol, Step, nil]
    # @param result [Object] anything that JSON can represent
    # @return [self]
    def resolve(step = nil, result: nil)
      change do
        if step
          Native.resolve_step(task_uuid, step_name(step), JsonText.generate(result))
        else
          Native.resolve_task(task_uuid)
        end
      end
      self
    rescue JsonText::Unwritable => e
      raise InvalidInputError, e.message
    end

    # @return [Array<Transition>] every change of state of the task and its steps, oldest first
    def transitions
      engine.open
      JsonText.parse(Native.transitions(task_uuid)).map { |view| Transition.new(view) }
    end

    # Forgets the values that were kept.
    # @return [self]
    def reload
      @view = nil
      self
    end

    def ==(other)
      other.is_a?(Task) && other.task_uuid == task_uuid
    end
    alias eql? ==

    def hash
      task_uuid.hash
    end

    def inspect
      "#<#{self.class} #{task_uuid}#{" #{@view[:state]}" if @view}>"
    end

    private

    def seconds(timeout)
      return if timeout.nil?

      seconds = Float(timeout, exception: false) if timeout.is_a?(Numeric)
      unless seconds && seconds >= 0
        raise InvalidInputError, "wait: timeout must be nil or a number of seconds, 0 or more, not #{timeout.inspect}"
      end

      seconds unless seconds.infinite?
    end

    def view
      @view || begin
        engine.open
        view = JsonText.parse(Blocking.call { Native.task(task_uuid) })
        @view = view if FINAL_STATES.include?(view[:state])
        view
      end
    end

    def change(&)
      engine.open
      Blocking.call(&)
    ensure
      @view = nil
    end

    def step_name(step)
      step.is_a?(Step) ? step.name : step.to_s
    end

    def engine
      TaskerCore.engine
    end
  end
end
