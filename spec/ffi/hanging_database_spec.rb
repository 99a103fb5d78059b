# frozen_string_literal: true

# A database that hangs keeps nobody from leaving, and what nobody has begun is taken back.
# Time says nothing where each allocation collects garbage.
RSpec.describe "The boundary: a database that hangs", unless: ENV["GC_STRESS"] do
  # Beside the 10 seconds of the busy timeout small, beside the 50 ms it may take generous.
  let(:soon) { 1 }

  around { |example| in_folder { |folder| (@file = "#{folder}/tasker.sqlite3") && example.run } }

  before do
    configure(database: @file)
    TaskerCore.template("later") { step :only, handler: "Later" }
    TaskerCore.engine.open
  end

  def seconds
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  end

  # What is asked once the engine is busy with something else.
  def questions
    task = TaskerCore.submit("later")
    { submit: -> { TaskerCore.submit("later") },
      submit_all: -> { TaskerCore.submit_all([{ name: "later" }] * 3) },
      cancel: -> { task.cancel },
      rerun: -> { task.rerun(:only) },
      resolve_step: -> { task.resolve(:only, result: 1) },
      resolve_task: -> { task.resolve },
      register_template: -> { TaskerCore.template("other") { step :only, handler: "Later" } },
      start: -> { TaskerCore::Worker.start(concurrency: 1) } }
  end

  it "ends every call for Timeout" do
    asked = questions
    while_locked(@file) do
      taken = seconds do
        asked.each_value { |ask| expect { Timeout.timeout(0.02) { ask.call } }.to raise_error(Timeout::Error) }
      end
      expect(taken).to be < soon * 2
    end
  end

  it "ends a call for Thread#raise and Thread#kill" do
    while_locked(@file) do
      threads = Array.new(2) { Thread.new { TaskerCore.submit("later") }.tap { |it| it.report_on_exception = false } }
      threads.each { |thread| wait_until("it to wait") { thread.stop? } }
      threads[0].raise(IOError, "enough")
      threads[1].kill
      taken = seconds do
        expect { threads[0].join(soon) }.to raise_error(IOError, "enough")
        expect(threads[1].join(soon)).to eq(threads[1])
      end
      expect(taken).to be < soon
    end
  end

  it "takes back what the engine had not begun, and asks once what is waited for again" do
    waiter = nil
    while_locked(@file) do
      first = Thread.new { TaskerCore.submit("later").task_uuid }
      wait_until("the engine to be busy") { first.stop? && TaskerCore.status.dig(:engine, :transaction_seconds) }
      expect { Timeout.timeout(0.05) { TaskerCore.submit("later", {}, idempotency_key: "left") } }
        .to raise_error(Timeout::Error)
      waiter = Thread.new { TaskerCore.submit("later", {}, idempotency_key: "woken").created? }
      wait_until("it to wait") { waiter.stop? }
      20.times { waiter.wakeup }
    end
    expect(waiter.value).to be(true)
    expect(TaskerCore.submit("later", {}, idempotency_key: "left")).to be_created
    expect(TaskerCore.submit("later", {}, idempotency_key: "woken")).not_to be_created
  end

  it "runs a trap at once while the main thread waits, and submits once" do
    program = <<~RUBY
      TaskerCore.configure { |config| config.database = #{@file.dump}; config.template_paths = [] }
      TaskerCore.template("later") { step :only, handler: "Later" }
      TaskerCore.engine.open
      trap("USR1") { $stdout.syswrite("trapped\\n") }
      main = Thread.main
      $stdout.syswrite("open\\n")
      $stdin.gets
      Thread.new { Thread.pass until main.status == "sleep"; $stdout.syswrite("ready\\n") }
      begin
        TaskerCore.submit("later")
      rescue Interrupt
        $stdout.syswrite("interrupted\\n")
        exit!(0)
      end
    RUBY
    IO.popen([{ "LOG_LEVEL" => "off" }, RbConfig.ruby, "-I", Subprocess::LIB, "-e", Subprocess::PRELUDE + program],
             "r+") do |child|
      expect(child.gets).to eq("open\n")
      while_locked(@file) do
        child.puts
        expect(child.gets).to eq("ready\n")
        taken = seconds do
          2.times do
            Process.kill("USR1", child.pid)
            expect(child.gets).to eq("trapped\n")
          end
          Process.kill("INT", child.pid)
          expect(child.gets).to eq("interrupted\n")
        end
        expect(taken).to be < soon
      end
    end
  end

  it "does not hold up a stop, nor the end of the process" do
    TaskerCore::Worker.start(concurrency: 1, shutdown_timeout: 0.5)
    while_locked(@file) do
      busy = Thread.new { TaskerCore.submit("later") }
      busy.report_on_exception = false
      wait_until("the engine to be busy") { busy.stop? }
      taken = seconds do
        expect(TaskerCore::Worker.stop).to be(false)
        TaskerCore.shutdown
      end
      expect(taken).to be < 0.5 + 8
      busy.kill
    end
  end
end
