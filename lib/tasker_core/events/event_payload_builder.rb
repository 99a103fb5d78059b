# frozen_string_literal: true

module TaskerCore
  module Events
    # Owns: the payloads of lifecycle events, whoever publishes them. Times are ISO 8601 in UTC, durations are seconds.
    # A key whose value is not known (an attempt that still runs has no `completed_at`) is there, with nil.
    module EventPayloadBuilder
      # Event types after which an attempt, or a task, does no more.
      ENDED = %w[completed failed cancelled max_retries_reached].freeze
      STEP_KEYS = %i[task_id step_id step_name started_at completed_at execution_duration attempt_number retry_limit
                     event_type timestamp].freeze
      TASK_KEYS = %i[task_id task_name started_at completed_at total_steps completed_steps failed_steps event_type
                     timestamp].freeze
      ERROR_KEYS = %i[task_id step_id step_name error_message error_class backtrace attempt_number retry_limit
                      event_type timestamp].freeze

      class << self
        # @param step [StepContext, Task::Step] the step that runs, or one of `task.steps`
        # @param event_type [Symbol, String] what happened: :started, :completed, …
        # @param additional_context [Hash{Symbol => Object}] more keys; they win
        # @return [Hash{Symbol => Object}] with {STEP_KEYS}
        # @raise [InvalidInputError] it is no step
        def build_step_payload(step, event_type:, additional_context: {})
          finish({ **step_facts(step), **times(step, event_type) }, STEP_KEYS, event_type, additional_context)
        end

        # @param step [StepContext, Task::Step]
        # @param error [Exception, nil] without one, the error that the step has
        # @param event_type [Symbol, String]
        # @param additional_context [Hash{Symbol => Object}]
        # @return [Hash{Symbol => Object}] with {ERROR_KEYS}
        # @raise [InvalidInputError]
        def build_error_payload(step, error = nil, event_type: :failed, additional_context: {})
          described = error ? Worker::Failure.describe(error) : stored_error(step)
          finish(step_facts(step).merge(error_message: described[:message], error_class: described[:class],
                                        backtrace: described[:backtrace]),
                 ERROR_KEYS, event_type, additional_context)
        end

        # Reads the task, its steps and its history from the database.
        # @param task [Task]
        # @param event_type [Symbol, String]
        # @param additional_context [Hash{Symbol => Object}]
        # @return [Hash{Symbol => Object}] with {TASK_KEYS}
        # @raise [InvalidInputError] it is no task
        def build_task_payload(task, event_type:, additional_context: {})
          raise InvalidInputError, "pass a task, not #{task.class}" unless task.is_a?(Task)

          stats = WorkflowStep.task_completion_stats(task).slice(:total_steps, :completed_steps, :failed_steps)
          # One that was cancelled before has never begun.
          began = task.transitions.find { |moved| moved.step.nil? && moved.to_state == "initializing" }&.created_at
          finish({ task_id: task.task_uuid, task_name: task.name, started_at: time(began),
                   completed_at: time(task.completed_at), **stats }, TASK_KEYS, event_type, additional_context)
        end

        # @param task_id [String, nil]
        # @param event_type [Symbol, String]
        # @param additional_context [Hash{Symbol => Object}]
        # @return [Hash{Symbol => Object}] with task_id, event_type and timestamp
        def build_workflow_payload(task_id, event_type:, additional_context: {})
          finish({ task_id: task_id }, %i[task_id event_type timestamp], event_type, additional_context)
        end

        # @param name [String] an event's
        # @return [String] its last word: "completed" of "step.completed"
        def event_type(name)
          name.to_s[/[^.]*\z/]
        end

        # @param moment [Time, nil]
        # @return [String, nil] ISO 8601, in UTC
        def time(moment)
          moment&.getutc&.iso8601(6)
        end

        private

        def step_facts(step)
          case step
          when StepContext
            { task_id: step.task_uuid, step_id: step.step_uuid, step_name: step.step_name,
              attempt_number: step.attempt, retry_limit: step.max_attempts }
          when Task::Step
            { task_id: step.task_uuid, step_id: step.step_uuid, step_name: step.name,
              attempt_number: step.attempts, retry_limit: step.max_attempts }
          else raise InvalidInputError, "pass the handler's step or one of task.steps, not #{step.class}"
          end
        end

        # Of a step that the database shows they are not known: it may have ended long ago.
        def times(step, event_type)
          return {} unless step.is_a?(StepContext)

          began = step.started_at
          ended = Time.now if ENDED.include?(event_type.to_s)
          { started_at: time(began), completed_at: time(ended),
            execution_duration: began && ended && (ended - began).round(6) }
        end

        def stored_error(step)
          (step.error if step.respond_to?(:error)) || {}
        end

        def finish(facts, keys, event_type, additional_context)
          facts = facts.merge(event_type: event_type.to_s, timestamp: time(Time.now))
          keys.to_h { |key| [key, facts[key]] }.merge(additional_context.transform_keys(&:to_sym))
        end
      end
    end
  end

  EventPayloadBuilder = Events::EventPayloadBuilder
end
