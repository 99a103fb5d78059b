# frozen_string_literal: true

# As little of a fiber scheduler as fibers need that join threads and wait for queues.
class FiberScheduler
  def initialize
    @unblocked = Queue.new
    @blocked = 0
  end

  # Runs the fibers of a thread until the last one is done.
  def close
    while @blocked.positive?
      fiber = @unblocked.pop
      @blocked -= 1
      fiber.resume
    end
  end

  def fiber(&) = Fiber.new(blocking: false, &).tap(&:resume)

  def block(_blocker, _timeout = nil)
    @blocked += 1
    Fiber.yield
  end

  # From any thread.
  def unblock(_blocker, fiber)
    @unblocked << fiber
  end

  def kernel_sleep(*) = raise(NotImplementedError)

  def io_wait(*) = raise(NotImplementedError)
end
