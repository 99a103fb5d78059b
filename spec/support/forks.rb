# frozen_string_literal: true

# Puma's clusters, Spring and Resque fork a process that has the engine open. What is so on either store; `database`
# is where.
RSpec.shared_examples "a fork" do
  let(:prepare) { <<~RUBY }
    TaskerCore.configure do |config|
      config.database = ENV.fetch("FORK_DATABASE")
      config.template_paths = []
    end
    class Work
      def call(step) = step.input[:number]
    end
    TaskerCore.template("work") do
      step :one, handler: "Work"
      step :two, handler: "Work", depends_on: :one
    end
    # Runs the block in a child, and gives what it printed.
    def in_child
      reader, writer = IO.pipe
      pid = fork do
        writer.puts(yield)
      rescue Exception => e
        writer.puts(e.full_message(highlight: false))
      ensure
        writer.close
      end
      writer.close
      [reader.read.chomp, Process.wait2(pid)[1].success?]
    end
  RUBY

  def run_forking(program)
    output, errors, status = ruby(prepare + program, env: { "FORK_DATABASE" => database })
    expect([errors, status.success?]).to eq(["", true])
    output
  end

  it "lets the child submit to the parent's database, and the parent go on" do
    expect(run_forking(<<~RUBY)).to eq("complete true complete\n")
      TaskerCore::Worker.start(concurrency: 2)
      TaskerCore.submit("work", { number: 0 }).wait(timeout: 20)
      child, success = in_child { TaskerCore.submit("work", { number: 1 }).wait(timeout: 20).state }
      puts [child, success, TaskerCore.submit("work", { number: 2 }).wait(timeout: 20).state].join(" ")
    RUBY
  end

  it "does so while the parent is at work, again and again" do
    expect(run_forking(<<~RUBY)).to eq("complete true complete\n")
      TaskerCore::Worker.start(concurrency: 4)
      busy = true
      tasks = []
      load = Thread.new do
        while busy
          batch = TaskerCore.submit_all(Array.new(50) { { name: "work", context: { number: 0 } } })
          tasks.concat(batch)
          batch.last.wait(timeout: 30)
        end
      end
      children = Array.new(20) { in_child { TaskerCore.submit("work", { number: 1 }).wait(timeout: 30).state } }
      busy = false
      load.join
      states = tasks.map { |task| task.wait(timeout: 30).state }
      puts [children.uniq, states.uniq].join(" ")
    RUBY
  end

  it "gives the child no worker, and lets it start its own" do
    expect(run_forking(<<~RUBY)).to eq("true false true complete\n")
      TaskerCore::Worker.start(concurrency: 1)
      before = TaskerCore::Worker.running?
      child, = in_child do
        inherited = TaskerCore::Worker.running?
        TaskerCore::Worker.start(concurrency: 1)
        own = TaskerCore::Worker.running?
        TaskerCore::Worker.stop
        [inherited, own].join(" ")
      end
      puts [before, child, TaskerCore.submit("work", { number: 1 }).wait(timeout: 20).state].join(" ")
    RUBY
  end

  it "ends a child at once that did nothing" do
    expect(run_forking(<<~RUBY)).to eq("true\n")
      TaskerCore::Worker.start(concurrency: 2)
      puts in_child { nil }.last
    RUBY
  end
end
