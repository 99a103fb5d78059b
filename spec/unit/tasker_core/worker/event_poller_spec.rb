# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::EventPoller do
  before { configure }

  it "runs as many handlers at once as it has threads" do
    inside = Queue.new
    gate = Queue.new
    name = one_step do
      inside << Thread.current.name
      gate.pop
    end
    TaskerCore::Worker.start(concurrency: 3)
    tasks = Array.new(3) { TaskerCore.submit(name) }
    expect(Array.new(3) { inside.pop }.sort).to eq(%w[tasker-handler-0 tasker-handler-1 tasker-handler-2])
    3.times { gate << true }
    tasks.each { |task| task.wait(timeout: 10) }
  end

  it "replaces a thread that a handler killed" do
    fine = one_step("fine") { 1 }
    killer = one_step("killer", retry: quick(1)) { Thread.exit }
    TaskerCore::Worker.start(concurrency: 1)
    3.times { expect(run_task(killer).state).to eq("error") }
    expect(run_task(fine)).to be_complete
  end

  it "answers an event whose thread dies before anybody did" do
    name = one_step("dies", retry: quick(1)) { 1 }
    allow_any_instance_of(TaskerCore::Worker::Subscriber).to receive(:call) { Thread.exit }
    TaskerCore::Worker.start(concurrency: 1)
    task = TaskerCore.submit(name).wait(timeout: 10)
    expect(task.error).to include(class: "TaskerCore::HandlerKilledError", retryable: true)
  end

  it "survives what is raised into an idle thread" do
    name = one_step { 1 }
    TaskerCore::Worker.start(concurrency: 1)
    idle = wait_until("a thread that waits") do
      Thread.list.find { |thread| thread.name == "tasker-handler-0" && thread.stop? }
    end
    idle.raise(IOError, "nobody asked")
    expect(run_task(name)).to be_complete
  end
end
