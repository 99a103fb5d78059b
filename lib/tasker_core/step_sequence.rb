# frozen_string_literal: true

module TaskerCore
  # The steps that a step depends on, with their results: the second argument of a handler's
  # `handle(task, sequence, step)`. Refuses: the task's other steps, since a step is not told of them. `task.steps`
  # reads all of them from the database.
  class StepSequence
    include Enumerable

    # A step that has ended, by name, with what it returned.
    Step = Struct.new(:name, :results) do
      def inspect
        "#<#{self.class} #{name}>"
      end
    end

    # @param step [StepContext] the step that runs
    def initialize(step)
      @step = step
    end

    # @return [Array<Step>]
    def steps
      @steps ||= results.map { |name, result| Step.new(name.name, result) }
    end

    # @yieldparam step [Step]
    def each(&block)
      steps.each(&block)
    end

    # @param name [String, Symbol]
    # @return [Step]
    # @raise [UnknownDependencyError] the running step does not depend on it
    def find_step_by_name(name)
      Step.new(name.to_s, self[name])
    end

    # @param name [String, Symbol]
    # @return [JsonHash, Array, String, Numeric, true, false, nil] what that step returned
    # @raise [UnknownDependencyError] the running step does not depend on it
    def [](name)
      @step.dependency(name)
    end

    # @return [JsonHash] the results, by step name
    def results
      @step.dependencies
    end

    def inspect
      "#<#{self.class} #{results.keys.join(' ')}>"
    end
  end
end
