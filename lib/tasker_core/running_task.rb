# frozen_string_literal: true

module TaskerCore
  # The task of the step that runs: the first argument of a handler's `handle(task, sequence, step)`. Its names and its
  # context came with the step, and cost nothing; everything else reads the database, as {Task} does.
  class RunningTask < Task
    # @param step [StepContext]
    def initialize(step)
      super(step.task_uuid, { correlation_id: step.correlation_id, trace_id: step.trace_id }.compact)
      @step = step
    end

    # @return [JsonHash] as it was submitted: `task.context["order_id"]`
    def context
      @step.input
    end

    # @return [String] the template's name
    def name
      @step.task_name
    end

    # @return [String] the template's namespace
    def namespace
      @step.namespace
    end

    # @return [String, nil]
    def parent_correlation_id
      @step.parent_correlation_id
    end
  end
end
