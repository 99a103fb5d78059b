# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::Bootstrap do
  before { configure }

  it "lets handlers finish" do
    inside = Queue.new
    gate = Queue.new
    name = one_step do
      inside << true
      gate.pop
    end
    TaskerCore::Worker.start(concurrency: 1)
    task = TaskerCore.submit(name)
    inside.pop
    stopping = Thread.new { TaskerCore::Worker.stop(timeout: 20) }
    wait_until("the stop to begin") { stopping.stop? }
    gate << 42
    expect(stopping.value).to be(true)
    expect(task.result).to eq(only: 42)
  end

  it "hands back what does not finish in time, and kills the handler's thread" do
    inside = Queue.new
    ended = Queue.new
    name = one_step do
      inside << true
      begin
        Queue.new.pop
      ensure
        ended << true
      end
    end
    TaskerCore::Worker.start(concurrency: 1)
    task = TaskerCore.submit(name)
    inside.pop
    expect(TaskerCore::Worker.stop(timeout: 0.01)).to be(false)
    expect(ended.pop).to be(true)
    expect(task.step(:only).state).to eq("enqueued")
  end

  it "can be stopped from a trap" do
    TaskerCore::Worker.start(concurrency: 1)
    previous = Signal.trap("USR2") { TaskerCore::Worker.stop }
    Process.kill("USR2", Process.pid)
    expect(TaskerCore::Worker.join(10)).to be(true)
  ensure
    Signal.trap("USR2", previous || "DEFAULT")
  end
end
