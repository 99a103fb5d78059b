# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Courtesy do
  it "lets others go first once a millisecond" do
    now = 0.0
    passes = []
    allow(Process).to receive(:clock_gettime).with(Process::CLOCK_MONOTONIC, :float_millisecond) { now }
    allow(Thread).to receive(:pass) { passes << now }
    courtesy = described_class.new
    [0.5, 0.99, 1.1, 1.5, 2.0, 2.2].each do |moment|
      now = moment
      courtesy.call
    end
    expect(passes).to eq([1.1, 2.2])
  end

  describe "between two events" do
    let(:passed) { Queue.new }
    let(:compute) do
      lambda do |*|
        until_then = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) + (2 * described_class::SHARE)
        nil while Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) < until_then
      end
    end

    before { allow(Thread).to receive(:pass) { passed << Thread.current.name } }

    it "is what the bus does" do
      configure
      TaskerCore.on("order.*", compute)
      TaskerCore.publish_event("order.seen", {}, delivery_mode: :fast)
      expect(passed.pop).to eq("tasker-bus")
    end

    it "is what the thread of this process's own events does" do
      TaskerCore::Events::Publisher.instance.subscribe("#", compute)
      TaskerCore::Events::Publisher.instance.publish("a.b")
      expect(passed.pop).to eq("tasker-lifecycle")
    end
  end
end
