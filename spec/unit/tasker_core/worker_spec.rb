# frozen_string_literal: true

RSpec.describe TaskerCore::Worker do
  before { configure }

  it "is one per process" do
    described_class.start
    expect { described_class.start }.to raise_error(TaskerCore::ConfigurationError, /running already/)
    expect(described_class).to be_running
  end

  it "tolerates a stop before the start, and a second stop" do
    expect(described_class.stop).to be(true)
    described_class.start
    2.times { expect(described_class.stop).to be(true) }
    expect(described_class).not_to be_running
    expect(described_class.join).to be(true)
  end

  it "starts again after a stop, on the same engine" do
    name = one_step { 1 }
    2.times do
      described_class.start(concurrency: 1)
      expect(TaskerCore.submit(name).wait(timeout: 10)).to be_complete
      described_class.stop
    end
  end

  it "refuses settings that no worker can run with, and can then be started" do
    expect { described_class.start(concurrency: 0) }.to raise_error(TaskerCore::ConfigurationError, /concurrency/)
    expect { described_class.start(threads: 1) }.to raise_error(TaskerCore::ConfigurationError, /threads/)
    expect(described_class).not_to be_running
    expect { described_class.start(concurrency: 1) }.not_to raise_error
  end

  it "leaves no thread behind" do
    TaskerCore.engine.open
    threads = Thread.list
    described_class.start(concurrency: 3, signals: true)
    described_class.stop
    wait_until("the last thread to end") { (Thread.list - threads).empty? }
    expect(Thread.list - threads).to eq([])
  end

  it "lets everybody who waits for the stop see it" do
    described_class.start
    waiting = Array.new(3) { Thread.new { described_class.join } }
    stopping = Array.new(3) { Thread.new { described_class.stop } }
    expect((waiting + stopping).map(&:value)).to all(be(true))
  end
end
