# frozen_string_literal: true

# Several processes, one database.
RSpec.shared_examples "several processes" do
  around { |example| in_folder { |folder| (@folder = folder) && example.run } }

  # What every process of these stories begins with.
  def program(rest)
    <<~RUBY
      TaskerCore.configure do |config|
        config.database = #{database.dump}
        config.template_paths = []
      end
      class Work
        def call(step)
          return Process.pid unless step.step_name == "one" && step.attempt == 1

          $stdout.syswrite("begin\\n") if step.input[:loud]
          IO.pipe.first.read if step.input[:hang]
          File.read(step.input[:gate]) if step.input[:gate]
          Process.pid
        end
      end
      TaskerCore.template("work") do
        step :one, handler: "Work", retry: { max_attempts: 5, backoff: :none, base: 0 }
        step :two, handler: "Work", depends_on: :one
      end
      #{rest}
    RUBY
  end

  def submit_here(context)
    configure(database: database) unless TaskerCore::Native.open?
    TaskerCore.template("work") do
      step :one, handler: "Work", retry: { max_attempts: 5, backoff: :none, base: 0 }
      step :two, handler: "Work", depends_on: :one
    end
    TaskerCore.submit("work", context)
  end

  it "submit in one and run in another" do
    start_ruby(program("TaskerCore::Worker.run")) do |_, pid|
      task = submit_here({})
      expect(task.wait(timeout: 30).result).to eq(one: pid, two: pid)
      Process.kill("TERM", pid)
    end
  end

  it "share the work" do
    tasks = nil
    start_ruby(program("TaskerCore::Worker.run(concurrency: 2)")) do |_, first|
      start_ruby(program("TaskerCore::Worker.run(concurrency: 2)")) do |_, second|
        submit_here({})
        tasks = TaskerCore.submit_all(Array.new(200) { { name: "work" } })
        pids = tasks.flat_map { |task| task.wait(timeout: 30).result.values }
        expect(pids.uniq - [first, second]).to eq([])
        [first, second].each { |pid| Process.kill("TERM", pid) }
      end
    end
    expect(tasks.map(&:state).uniq).to eq(["complete"])
  end

  it "end on SIGTERM once their handlers have finished" do
    File.mkfifo("#{@folder}/gate")
    task = nil
    status = start_ruby(program("TaskerCore::Worker.run(concurrency: 1)")) do |output, pid|
      task = submit_here({ loud: true, gate: "#{@folder}/gate" })
      expect(output.gets).to eq("begin\n")
      Process.kill("TERM", pid)
      File.write("#{@folder}/gate", "")
    end
    expect(status).to be_success
    expect(task.step(:one)).to have_attributes(state: "complete", attempts: 1)
  end

  it "hand back what does not finish in time" do
    task = nil
    run = "TaskerCore::Worker.run(concurrency: 1, shutdown_timeout: 0.1)"
    status = start_ruby(program(run)) do |output, pid|
      task = submit_here({ loud: true, hang: true })
      expect(output.gets).to eq("begin\n")
      Process.kill("TERM", pid)
    end
    expect(status).to be_success
    expect(task.step(:one).state).to eq("enqueued")
  end

  it "end now on a second signal" do
    run = "TaskerCore::Worker.run(concurrency: 1, shutdown_timeout: 1000)"
    status = start_ruby(program(run)) do |output, pid|
      task = submit_here({ loud: true, hang: true })
      expect(output.gets).to eq("begin\n")
      Process.kill("INT", pid)
      wait_until("the stop to begin") { File.read("/proc/#{pid}/task/#{pid}/comm") }
      wait_until("the process to end") do
        begin
          Process.kill("TERM", pid)
        rescue Errno::ESRCH
          # It has ended since the last look.
        end
        task.step(:one).state == "enqueued"
      end
    end
    expect(status.exitstatus || status.termsig).to be_between(0, 15)
  end

  it "end as the signal says when the worker is not their whole business" do
    run = 'TaskerCore::Worker.start(signals: true); puts "ready"; IO.pipe.first.read'
    status = start_ruby(program(run)) do |output, pid|
      expect(output.gets).to eq("ready\n")
      Process.kill("TERM", pid)
    end
    expect(status.termsig).to eq(Signal.list["TERM"])
  end

  it "stop the worker when they exit" do
    run = 'TaskerCore::Worker.start; TaskerCore.submit("work").wait(timeout: 20); puts "done"'
    output, errors, status = ruby(program(run))
    expect([output, errors, status.success?]).to eq(["done\n", "", true])
  end

  it "take over from one that was killed" do
    task = nil
    start_ruby(program("TaskerCore::Worker.run(concurrency: 1, lease_seconds: 1)")) do |output, pid|
      task = submit_here({ loud: true, hang: true })
      expect(output.gets).to eq("begin\n")
      Process.kill("KILL", pid)
    end
    start_ruby(program("TaskerCore::Worker.run(concurrency: 1)")) do |_, pid|
      expect(task.wait(timeout: 30)).to be_complete
      expect(task.step(:one).attempts).to eq(2)
      Process.kill("TERM", pid)
    end
  end
end

RSpec.describe "Processes on one file" do
  let(:database) { "#{@folder}/tasker.sqlite3" }

  include_examples "several processes"
end

RSpec.describe "Processes on PostgreSQL" do
  around { |example| with_database { |database| (@database = database) && example.run } }
  let(:database) { @database.url }

  include_examples "several processes"
end
