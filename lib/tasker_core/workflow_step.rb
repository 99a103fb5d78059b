# frozen_string_literal: true

module TaskerCore
  # Numbers about the steps of a task.
  module WorkflowStep
    DONE = %w[complete resolved_manually].freeze

    # Counts the steps of a task as one read of the database shows them.
    # @param task [Task, String] the task, or its task_uuid
    # @return [Hash{Symbol => Integer, Boolean}] total_steps, completed_steps (resolved ones included), failed_steps,
    #   cancelled_steps, pending_steps (all others: waiting or running), all_complete
    # @raise [NotFoundError] no such task
    def self.task_completion_stats(task)
      task = TaskerCore.task(task) unless task.is_a?(Task)
      states = task.steps.map(&:state)
      completed = states.count { |state| DONE.include?(state) }
      failed = states.count("error")
      cancelled = states.count("cancelled")
      { total_steps: states.size, completed_steps: completed, failed_steps: failed, cancelled_steps: cancelled,
        pending_steps: states.size - completed - failed - cancelled,
        all_complete: completed == states.size && completed.positive? }
    end
  end
end
