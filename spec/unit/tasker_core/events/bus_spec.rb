# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Bus do
  # The engine's side: what Ruby asked for, and what it is given.
  let(:native) do
    Class.new do
      attr_reader :told, :items, :open

      def initialize
        @told = []
        @items = Queue.new
        @open = true
      end

      def open? = @open
      def listen_bus(*wanted) = (@told << wanted)

      def poll_bus(milliseconds)
        raise TaskerCore::StoppedError, "closed" unless @open

        item = @items.pop(milliseconds.zero?)
        item.is_a?(Exception) ? raise(item) : item
      rescue ThreadError
        nil
      end

      def close
        @open = false
        @items << nil
      end
    end.new
  end
  let(:wanted) { [true, false] }
  let(:given) { Queue.new }
  let(:bus) { described_class.new(native: native, deliver: ->(*item) { given << item }) { wanted.dup } }

  after do
    native.close
    wait_until("the thread to end") { !bus.running? }
  end

  it "polls in a thread of its own while there are subscribers, and hands out what it gets" do
    native.items << ["domain", "{}"] << nil << ["lifecycle", "{}"]
    bus.refresh
    expect([given.pop, given.pop]).to eq([["domain", "{}"], ["lifecycle", "{}"]])
    expect(Thread.list.map(&:name)).to include("tasker-bus")
    wanted.replace([false, false])
    bus.refresh
    wait_until("the thread to end") { !bus.running? }
    expect(native.told).to eq([[true, false], [false, false]])
  end

  it "does nothing without subscribers, and without an engine" do
    wanted.replace([false, false])
    bus.refresh
    wanted.replace([true, true])
    native.close
    bus.refresh
    expect([native.told, bus.running?]).to eq([[], false])
  end

  it "tells the engine what has changed only" do
    3.times { bus.refresh }
    wanted.replace([true, true])
    2.times { bus.refresh }
    expect(native.told).to eq([[true, false], [true, true]])
  end

  it "begins again with the next engine" do
    bus.refresh
    native.close
    wait_until("the thread to end") { !bus.running? }
    bus.closed
    native.instance_variable_set(:@open, true)
    bus.refresh
    native.items << ["domain", "{}"]
    expect(given.pop).to eq(["domain", "{}"])
    expect(native.told).to eq([[true, false], [true, false]])
  end

  it "hands out what waits before the engine closes" do
    bus.refresh
    3.times { native.items << ["domain", "{}"] }
    expect(bus.drain(5)).to be(true)
    expect([given.size, bus.running?]).to eq([3, false])
  end

  it "ends at once with the engine when nothing waits" do
    bus.refresh
    wait_until("the thread to wait") { native.items.num_waiting == 1 }
    expect(bus.drain(5)).to be(true)
  end

  it "is not interrupted while a subscriber is told" do
    entered = Queue.new
    release = Queue.new
    busy = described_class.new(native: native, deliver: lambda { |*|
      entered << true
      given << release.pop
    }) { wanted.dup }
    busy.refresh
    native.items << %w[domain {}]
    entered.pop
    wanted.replace([true, true])
    busy.refresh # wakes the thread
    release << :told
    expect(given.pop).to eq(:told)
    native.items << %w[domain {}]
    release << :again
    expect(given.pop).to eq(:again)
    native.close
    wait_until("the thread to end") { !busy.running? }
  end

  it "says why it ends, when the engine fails, and does not spin" do
    allow(TaskerCore.logger).to receive(:error)
    native.items << TaskerCore::InternalError.new("broken")
    bus.refresh
    wait_until("the thread to end") { !bus.running? }
    expect(TaskerCore.logger)
      .to have_received(:error).once.with("thread of the bus died", error: TaskerCore::InternalError)
  end

  it "does not wait for a subscriber that hangs" do
    release = Queue.new
    hanging = described_class.new(native: native, deliver: ->(*) { release.pop }) { wanted }
    hanging.refresh
    native.items << ["domain", "{}"]
    wait_until("the subscriber to hang") { release.num_waiting == 1 }
    expect(hanging.drain(0.01)).to be(false)
    release << true
    native.close
    wait_until("the thread to end") { !hanging.running? }
  end

  it "goes on after an item that cannot be handed out, and after a subscriber that ends the thread" do
    allow(TaskerCore.logger).to receive(:error)
    deliver = ->(kind, _) { kind == "kill" ? Thread.exit : given << Integer(kind) }
    bad = described_class.new(native: native, deliver: deliver) { wanted }
    bad.refresh
    native.items << %w[x {}] << %w[kill {}] << %w[7 {}]
    expect(given.pop).to eq(7)
    expect(TaskerCore.logger).to have_received(:error)
      .with("event of the engine could not be handed out", kind: "x", error: ArgumentError)
    native.close
    wait_until("the thread to end") { !bad.running? }
  end
end
