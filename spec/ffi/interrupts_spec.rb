# frozen_string_literal: true

# Every blocking call ends when Ruby says so, soon, and with nothing lost.
RSpec.describe "The boundary: interrupts" do
  let(:native) { TaskerCore::Native }
  # Generous beside the 60 microseconds it takes, small beside the 30 seconds the calls would block.
  let(:soon) { ENV["GC_STRESS"] ? 10 : 2 }

  before do
    configure
    TaskerCore.template("later") { step :only, handler: "Later" }
    TaskerCore.engine.open
    native.bootstrap_worker(TaskerCore.configuration.to_engine_json, "{}")
  end

  def blocked(&call)
    thread = Thread.new(&call)
    thread.report_on_exception = false
    wait_until("the call to block") { thread.stop? }
    thread
  end

  it "ends a poll for Thread#kill" do
    thread = blocked { native.poll_step_event(30.0) }
    thread.kill
    expect(thread.join(soon)).to eq(thread)
  end

  it "ends a poll for Thread#raise" do
    thread = blocked { native.poll_step_event(30.0) }
    thread.raise(IOError, "enough")
    expect { thread.join(soon) }.to raise_error(IOError, "enough")
  end

  it "ends a wait for Timeout" do
    task = TaskerCore.submit("later", {}, run_at: Time.now + 3600)
    expect { Timeout.timeout(0.01) { task.wait } }.to raise_error(Timeout::Error)
  end

  it "ends a wait for Thread#kill, and runs ensure blocks" do
    task = TaskerCore.submit("later", {}, run_at: Time.now + 3600)
    ended = Queue.new
    thread = blocked do
      task.wait
    ensure
      ended << true
    end
    thread.kill
    expect(thread.join(soon)).to eq(thread)
    expect(ended.size).to eq(1)
  end

  it "goes on waiting after a wake-up that was not for it" do
    thread = blocked { native.poll_step_event(30.0) }
    10.times { thread.wakeup }
    TaskerCore.submit("later")
    expect(thread.value).to include(task_sequence_step: include(step_name: "only"))
  end

  it "keeps the event when an interrupt is held back" do
    thread = blocked do
      Thread.handle_interrupt(Object => :never) { native.poll_step_event(30.0)&.fetch(:event_id) }
    end
    thread.raise(IOError, "later")
    TaskerCore.submit("later")
    expect { thread.join }.to raise_error(IOError, "later")
    expect(native.poll_step_event(0.0)).to be_nil, "the held-back thread has the event"
  end

  it "ends a poll when the channel is closed" do
    thread = blocked { native.poll_step_event(30.0) }
    native.close_channel
    expect(thread.value).to be(false)
  end

  it "runs a trap at once while the main thread waits, and then waits on" do
    program = <<~RUBY
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      TaskerCore.template("later") { step :only, handler: "Later" }
      task = TaskerCore.submit("later", {}, run_at: Time.now + 3600)
      trap("USR1") { $stdout.syswrite("trapped\\n") } # a trap may not take $stdout's lock
      main = Thread.main
      Thread.new { Thread.pass until main.status == "sleep"; $stdout.syswrite("ready\\n") }
      begin
        task.wait(timeout: 60)
      rescue Interrupt
        puts "interrupted"
      end
    RUBY
    status = start_ruby(program) do |output, pid|
      expect(output.gets).to eq("ready\n")
      2.times do
        Process.kill("USR1", pid)
        expect(output.gets).to eq("trapped\n")
      end
      Process.kill("INT", pid)
      expect(output.gets).to eq("interrupted\n")
    end
    expect(status).to be_success
  end
end
