# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Publisher do
  subject(:publisher) { described_class.instance }

  def told(pattern = "#", &block)
    seen = []
    publisher.subscribe(pattern) { |event| seen << (block ? block.call(event) : event.name) }
    seen
  end

  it "tells subscribers of what matches, in order, in another thread" do
    names = told("step.*")
    threads = told { Thread.current.name }
    publisher.publish("step.failed", { a: 1 })
    publisher.publish("task.failed")
    publisher.publish("step.completed")
    expect(publisher.flush).to be(true)
    expect(names).to eq(%w[step.failed step.completed])
    expect(threads.uniq).to eq(["tasker-lifecycle"])
  end

  it "gives events their payload as it was" do
    payload = { a: 1 }
    seen = told { |event| event }
    expect(publisher.publish("step.failed", payload)).to be_nil
    payload[:a] = 2
    publisher.flush
    event = seen.first
    expect([event[:a], event["a"], event.source, event.payload.frozen?]).to eq([1, 1, :application, true])
    expect(payload).not_to be_frozen
    case event
    in { name: "step.failed", payload: { a: } } then expect(a).to eq(1)
    end
  end

  it "takes objects with call, and ends a subscription" do
    listener = Class.new { def seen = (@seen ||= []) }.new
    def listener.call(event) = seen << event.name
    subscription = publisher.subscribe("a.b", listener)
    publisher.publish("a.b")
    publisher.flush
    subscription.unsubscribe
    publisher.publish("a.b")
    publisher.flush
    expect(listener.seen).to eq(["a.b"])
  end

  it "has no thread and keeps nothing when nobody is to be told" do
    before = Thread.list
    publisher.publish("step.failed")
    told = Queue.new
    subscription = publisher.subscribe("task.*") { told << true }
    publisher.publish("step.failed")
    expect(Thread.list - before).to eq([])
    publisher.publish("task.failed")
    told.pop
    subscription.unsubscribe
    wait_until("the thread to end") { Thread.list.none? { |thread| thread.name == "tasker-lifecycle" } }
  end

  it "goes on with the others when one raises" do
    publisher.subscribe { raise "no" }
    names = told
    publisher.publish("a.b")
    publisher.flush
    expect(names).to eq(["a.b"])
  end

  it "does not wait for a subscriber that hangs" do
    release = Queue.new
    publisher.subscribe { release.pop }
    publisher.publish("a.b")
    before = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    100.times { publisher.publish("a.b") }
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - before).to be < 1
    expect(publisher.flush(timeout: 0.01)).to be(false)
    101.times { release << true }
    expect(publisher.flush).to be(true)
  end

  it "refuses names and payloads that are none" do
    ["", nil, 5, "a..b", "a b", "a\n", "\xFF", "x" * 129].each do |name|
      expect { publisher.publish(name) }.to raise_error(TaskerCore::InvalidInputError, /cannot be the name/)
    end
    expect { publisher.publish("a.b", 5) }.to raise_error(TaskerCore::InvalidInputError, /payload must be a Hash/)
    expect { publisher.subscribe }.to raise_error(TaskerCore::InvalidInputError, /give a block/)
  end

  it "shows how many" do
    told
    before = publisher.inspect[/published=(\d+)/, 1].to_i
    publisher.publish("a.b", { secret: "x" })
    expect(publisher.inspect)
      .to match(/\A#<TaskerCore::Events::Publisher subscriptions=1 published=#{before + 1} dropped=\d+>\z/)
  end
end
