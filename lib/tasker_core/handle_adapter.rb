# frozen_string_literal: true

module TaskerCore
  # Runs a handler that has `handle(task, sequence, step)` where `call(step)` is expected.
  # @api private
  class HandleAdapter
    # @param handler [Object]
    # @return [Boolean] whether it has a `handle` that takes three arguments
    def self.fits?(handler)
      method = if handler.is_a?(Class) then handler.method_defined?(:handle) && handler.instance_method(:handle)
               else
                 handler.respond_to?(:handle) && handler.method(:handle)
               end
      method && takes_three?(method.parameters.map(&:first))
    end

    def self.takes_three?(kinds)
      required = kinds.count(:req)
      required <= 3 && !kinds.include?(:keyreq) && (kinds.include?(:rest) || required + kinds.count(:opt) >= 3)
    end
    private_class_method :takes_three?

    # @param handler [Class, Object] a class gets a new instance for each attempt
    def initialize(handler)
      @handler = handler
    end

    # @param step [StepContext]
    # @return [Object] what `handle` returned
    def call(step)
      handler = @handler.is_a?(Class) ? @handler.new : @handler
      handler.handle(RunningTask.new(step), StepSequence.new(step), step)
    end
  end
end
