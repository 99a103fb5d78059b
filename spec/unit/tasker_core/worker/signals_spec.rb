# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::Signals do
  around do |example|
    @caught = []
    previous = described_class::NAMES.to_h { |name| [name, Signal.trap(name) { caught << name }] }
    example.run
  ensure
    previous.each { |name, handler| Signal.trap(name, handler) }
  end

  attr_reader :caught

  let(:stops) { Queue.new }

  it "stops on the first signal, and calls the trap that was there" do
    signals = described_class.new(ends_process: true) { |now| stops << now }.install
    Process.kill("TERM", Process.pid)
    expect(stops.pop).to be(false)
    wait_until("the earlier trap") { caught == ["TERM"] }
    signals.remove
  end

  it "stops now on a second one" do
    release = Queue.new
    signals = described_class.new(ends_process: true) do |now|
      stops << now
      now ? release << true : release.pop
    end.install
    Process.kill("INT", Process.pid)
    expect(stops.pop).to be(false)
    Process.kill("TERM", Process.pid)
    expect(stops.pop).to be(true)
    wait_until("the traps to be put back") { Thread.list.none? { |thread| thread.name == "tasker-signals" } }
    signals.remove
  end

  it "hears a signal though every other thread and file of the process was ended" do
    program = <<~RUBY
      trap("TERM", "DEFAULT")
      require "tasker_core"
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      READY = $stdout.dup
      class Reckless
        def call(_)
          own = [Thread.main, Thread.current]
          (Thread.list - own).each(&:kill)
          ObjectSpace.each_object(IO) { |io| io.close unless [READY, $stdin, $stdout, $stderr].include?(io) || io.closed? }
          READY.syswrite("done\\n")
        end
      end
      TaskerCore.template("reckless") { step :only, handler: "Reckless" }
      TaskerCore.submit("reckless")
      TaskerCore::Worker.run(concurrency: 2)
      $stdout.syswrite("stopped\\n")
    RUBY
    status = start_ruby(program) do |output, pid|
      expect(output.gets).to eq("done\n")
      Process.kill("TERM", pid)
      expect(output.gets).to eq("stopped\n")
    end
    expect(status).to be_success
  end

  it "puts the earlier traps back" do
    described_class.new(ends_process: true) { raise "not called" }.install.remove
    Process.kill("TERM", Process.pid)
    wait_until("the earlier trap") { caught == ["TERM"] }
  end

  it "leaves a fork's child its signals" do
    Signal.trap("TERM", "DEFAULT")
    signals = described_class.new(ends_process: true) { |now| stops << now }.install
    reader, writer = IO.pipe
    pid = fork do
      writer.puts("ready")
      IO.pipe.first.read
    rescue SignalException => e
      writer.puts(e.signm)
      exit!(0)
    end
    reader.gets
    Process.kill("TERM", pid)
    expect(reader.gets).to eq("SIGTERM\n")
    Process.wait(pid)
    expect(stops).to be_empty
    signals.remove
  end
end
