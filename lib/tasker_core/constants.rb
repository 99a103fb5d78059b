# frozen_string_literal: true

module TaskerCore
  # The names of lifecycle events. Which of them the engine publishes, and when, is in docs/guide/events.md.
  module Constants
    # What happens to tasks.
    module TaskEvents
      INITIALIZE_REQUESTED = "task.initialize_requested"
      START_REQUESTED = "task.start_requested"
      COMPLETED = "task.completed"
      FAILED = "task.failed"
      RETRY_REQUESTED = "task.retry_requested"
      CANCELLED = "task.cancelled"
    end

    # What happens to steps.
    module StepEvents
      EXECUTION_REQUESTED = "step.execution_requested"
      BEFORE_HANDLE = "step.before_handle"
      HANDLE = "step.handle"
      COMPLETED = "step.completed"
      FAILED = "step.failed"
      RETRY_REQUESTED = "step.retry_requested"
      MAX_RETRIES_REACHED = "step.max_retries_reached"
      CANCELLED = "step.cancelled"
    end

    # What the orchestration of a task decides.
    module WorkflowEvents
      TASK_STARTED = "workflow.task_started"
      STEP_COMPLETED = "workflow.step_completed"
      STEP_FAILED = "workflow.step_failed"
      VIABLE_STEPS_DISCOVERED = "workflow.viable_steps_discovered"
      NO_VIABLE_STEPS = "workflow.no_viable_steps"
      TASK_COMPLETED = "workflow.task_completed"
      TASK_FAILED = "workflow.task_failed"
    end

    # What only observers want to know.
    module ObservabilityEvents
      # Of tasks.
      module Task
        ENQUEUE = "task.enqueue"
        START = "task.start"
      end

      # Of steps.
      module Step
        PROCESSING = "step.processing"
      end
    end
  end
end
