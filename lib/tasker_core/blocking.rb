# frozen_string_literal: true

module TaskerCore
  # Owns: calls that wait for the engine, where fibers share a thread (Falcon, async). The extension lets the GVL go,
  # but a fiber that waits in it keeps its whole thread. So there such a call has a thread of its own, and the other
  # fibers go on.
  # @api private
  module Blocking
    # Yields, without stopping the other fibers of a thread that has a scheduler.
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
