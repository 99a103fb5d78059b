# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Lane do
  def lane(**options, &deliver)
    @lane = described_class.new(**options, &deliver)
  end

  after { @lane&.drain(5) }

  it "hands out in order, in one thread of its own" do
    seen = []
    lane { |item| seen << [item, Thread.current.name, Thread.current == Thread.main] }
    100.times { |number| @lane.push(number) }
    expect(@lane.drain(5)).to be(true)
    expect(seen).to eq(Array.new(100) { |number| [number, "tasker-lifecycle", false] })
  end

  it "has no thread before the first item, nor after a drain, and then another one" do
    seen = Queue.new
    lane { |item| seen << item }
    expect(@lane.thread).to be_nil
    @lane.push(1)
    @lane.drain(5)
    expect(@lane.thread).to be_nil
    @lane.push(2)
    expect([seen.pop, seen.pop]).to eq([1, 2])
  end

  it "drops, counts and says so once, when it is full" do
    allow(TaskerCore.logger).to receive(:warn)
    entered = Queue.new
    release = Queue.new
    lane(capacity: 2) do |item|
      entered << item
      release.pop
    end
    @lane.push(:busy)
    entered.pop
    expect(Array.new(4) { |number| @lane.push(number) }).to eq([true, true, false, false])
    expect(@lane.dropped).to eq(2)
    expect(TaskerCore.logger).to have_received(:warn).once.with("event dropped: subscribers are too slow", waiting: 2)
    3.times { release << true }
  end

  it "gives up waiting when a subscriber hangs, and hands out what comes later all the same" do
    release = Queue.new
    seen = Queue.new
    lane do |item|
      release.pop if item == :hang
      seen << item
    end
    @lane.push(:hang)
    expect(@lane.drain(0.01)).to be(false)
    @lane.push(:later)
    release << true
    expect([seen.pop, seen.pop]).to eq(%i[hang later])
  end

  it "goes on when a subscriber has ended its thread" do
    seen = Queue.new
    lane { |item| item == :kill ? Thread.exit : seen << item }
    @lane.push(:kill)
    @lane.push(:next)
    expect(seen.pop).to eq(:next)
  end

  it "begins anew in a forked child, and leaves the parent's items to the parent" do
    said, errors, = ruby(<<~RUBY)
      reader, writer = IO.pipe
      release = Queue.new
      lane = TaskerCore::Events::Lane.new do |item|
        release.pop if item == "first"
        writer.puts("\#{item} \#{$PROGRAM_NAME}")
      end
      lane.push("first")
      lane.push("second")
      pid = fork do
        $PROGRAM_NAME = "child"
        lane.push("childs")
        lane.drain(10)
        exit!(0)
      end
      Process.wait(pid)
      release << true
      lane.drain(10)
      writer.close
      print reader.read.gsub("\n", ", ")
    RUBY
    expect([said, errors]).to eq(["childs child, first -e, second -e, ", ""])
  end
end
