# frozen_string_literal: true

module TaskerCore
  # Owns: calls that wait for the engine, where fibers share a thread (Falcon, async). The extension releases the GVL,
  # but a fiber that waits in it blocks its whole thread. There, such a call runs in a thread of its own, and the
  # other fibers continue.
  # @api private
  module Blocking
    # Yields, without blocking the other fibers of a thread that has a scheduler.
    # @return [Object] what the block returns
    def self.call(&)
      return yield unless Fiber.current_scheduler

      begin
        waiting = Thread.new(&)
        waiting.report_on_exception = false
        waiting.value
      ensure
        # The fiber was stopped while it waited.
        waiting&.kill
      end
    end
  end
end
