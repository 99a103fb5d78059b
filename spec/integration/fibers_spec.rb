# frozen_string_literal: true

require_relative "../support/fiber_scheduler"

# Applications whose requests are fibers of one thread (Falcon, async).
RSpec.describe "Fibers that share a thread" do
  before do
    stub_const("Held", Class.new(TaskerCore::StepHandler) do
      const_set(:LET_GO, Queue.new)
      def call(_step) = Held::LET_GO.pop
    end)
    configure
    TaskerCore.template("held") { step :one, handler: "Held" }
    TaskerCore::Worker.start(concurrency: 1)
  end

  # Runs each in a fiber of one thread.
  def fibers(*blocks)
    thread = Thread.new do
      Fiber.set_scheduler(FiberScheduler.new)
      blocks.each { |block| Fiber.schedule(&block) }
    end
    raise "the thread stands still" unless thread.join(20)
  end

  it "go on while one of them waits for a task" do
    ended = nil
    task = TaskerCore.submit("held")
    fibers(-> { ended = task.wait(timeout: 15) }, -> { Held::LET_GO << "done" })
    expect(ended.step(:one).result).to eq("done")
  end

  it "submit, and errors reach the fiber that caused them" do
    uuids = []
    refused = nil
    refuse = lambda do
      TaskerCore.submit("nothing")
    rescue TaskerCore::Error => e
      refused = e
    end
    Held::LET_GO << 1
    fibers(-> { uuids << TaskerCore.submit("held").wait(timeout: 15).task_uuid }, refuse)
    expect(uuids).to contain_exactly(/\A\h{8}-/)
    expect(refused).to be_a(TaskerCore::Error).and have_attributes(message: /nothing/)
  end

  it "share the trace of the fiber that submits" do
    Held::LET_GO << 1
    traces = []
    fibers(lambda do
      TaskerCore.span("request") do |span|
        traces << span.trace_id << TaskerCore.submit("held").wait(timeout: 15).trace_id
      end
    end)
    expect(traces.uniq.size).to eq(1)
  end
end
