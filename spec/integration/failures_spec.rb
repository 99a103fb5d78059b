# frozen_string_literal: true

# What becomes of steps that fail, and that the worker goes on.
RSpec.describe "Handlers that fail" do
  before { configure(max_result_bytes: 100_000) }

  it "are retried, and told which attempt it is" do
    attempts = Queue.new
    name = one_step(retry: quick(3)) do |step|
      attempts << [step.attempt, step.last_attempt?]
      raise "not yet" unless step.last_attempt?

      "done"
    end
    task = run_task(name)
    expect(task.result).to eq(only: "done")
    expect(Array.new(attempts.size) { attempts.pop }).to eq([[1, false], [2, false], [3, true]])
    expect(task.step(:only).attempts).to eq(3)
  end

  it "are retried when they said so" do
    name = one_step(retry: { max_attempts: 2, backoff: :exponential, base: 300 }) do |step|
      raise TaskerCore::RetryableError.new("busy", retry_after: 0.01) if step.attempt == 1

      1
    end
    expect(run_task(name)).to be_complete
  end

  it "fail the task when their attempts are used up" do
    task = run_task(one_step(retry: quick(2)) { raise "always" })
    expect(task.state).to eq("error")
    expect(task.error).to include(class: "RuntimeError", message: "always", attempt: 2)
  end

  it "are not retried after a permanent error, and keep the steps after them from running" do
    ran = Queue.new
    configure(handlers: {
                "fails" => ->(_) { raise TaskerCore::ValidationError.new("no such card", field: :card) },
                "after" => ->(_) { ran << true }
              })
    TaskerCore.template("chain") do
      step :fails, handler: "fails", retry: { max_attempts: 5 }
      step :after, handler: "after", depends_on: :fails
    end
    task = run_task("chain")
    expect(task.state).to eq("error")
    expect(task.step(:fails)).to have_attributes(attempts: 1, error: include(field: "card"))
    expect([task.step(:after).state, ran.size]).to eq(["pending", 0])
  end

  # Each fails its own step only.
  bad = {
    "raises Exception" => [-> { raise Exception, "bare" }, "Exception", /bare/], # rubocop:disable Lint/RaiseException
    "raises NoMemoryError" => [-> { raise NoMemoryError }, "NoMemoryError", //],
    "raises SystemStackError" => [-> { raise SystemStackError, "deep" }, "SystemStackError", /deep/],
    "raises SecurityError" => [-> { raise SecurityError, "s" }, "SecurityError", //],
    "lacks a method" => [-> { nil.charge }, "NoMethodError", /charge/],
    "exits" => [-> { exit(7) }, "SystemExit", /called exit or abort \(status 7\)/],
    "aborts" => [-> { Kernel.exit(false) }, "SystemExit", /status 1/],
    "throws" => [-> { throw :out }, "UncaughtThrowError", /threw: uncaught throw :out/],
    "kills its thread" => [-> { Thread.current.kill }, "TaskerCore::HandlerKilledError", /ended before/],
    "exits its thread" => [-> { Thread.exit }, "TaskerCore::HandlerKilledError", /ended before/],
    "raises into its own thread" => [-> { Thread.current.raise(IOError, "self") }, "IOError", /self/],
    "times out by itself" => [-> { Timeout.timeout(0.001) { Queue.new.pop } }, "Timeout::Error", /expired/],
    "returns NaN" => [-> { { a: Float::NAN } }, "TaskerCore::UnserializableResultError", /result\[:a\] is NaN/],
    "returns an object" => [-> { Object.new }, "TaskerCore::UnserializableResultError", /no JSON form/],
    "returns invalid UTF-8" => [-> { "\xFF" }, "TaskerCore::UnserializableResultError", /UTF-8/],
    "returns itself in itself" => [-> { [].tap { |a| a << a } }, "TaskerCore::UnserializableResultError", /itself/],
    "returns too much" => [-> { "x" * 200_000 }, "TaskerCore::ResultTooLargeError", /limit is 100000/],
    "raises an invalid message" => [-> { raise "\xFF\xFE" }, "RuntimeError", //],
    "raises a huge message" => [-> { raise "x" * 1_000_000 }, "RuntimeError", /\Ax{10240}…/]
  }

  bad.each do |what, (handler, error_class, message)|
    it "who #{what}: the step says so and the worker goes on" do
      fine = one_step("fine") { "fine" }
      name = one_step("bad", retry: quick(1)) { handler.call }
      TaskerCore::Worker.start(concurrency: 1)
      2.times do
        expect(run_task(name).error).to include(class: error_class, message: message)
      end
      expect(run_task(fine).result).to eq(only: "fine")
    end
  end

  it "who does not exist: the step says what was tried" do
    TaskerCore.template("nobody") { step :only, handler: "No::Such", retry: { max_attempts: 1 } }
    expect(run_task("nobody").error).to include(class: "TaskerCore::HandlerNotFoundError", message: /No::Such/)
  end

  it "who takes too long: the engine ends the attempt, and the handler can see it" do
    cancelled = Queue.new
    name = one_step(timeout: 0.05, retry: quick(1)) do |step|
      wait_until("the step to be cancelled") { step.cancelled? }
      cancelled << true
    end
    task = run_task(name)
    expect(task.state).to eq("error")
    expect(task.error[:message]).to match(/time/i)
    expect(cancelled.pop).to be(true)
  end

  it "are killed from elsewhere: the step fails and a new thread takes the next one" do
    thread = Queue.new
    name = one_step(retry: quick(2)) do |step|
      next "second" if step.attempt == 2

      thread << Thread.current
      Queue.new.pop
    end
    TaskerCore::Worker.start(concurrency: 1)
    task = TaskerCore.submit(name)
    thread.pop.kill
    expect(task.wait(timeout: 20).result).to eq(only: "second")
  end
end
