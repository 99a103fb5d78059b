# frozen_string_literal: true

# SQLite takes no lock that it believes the process has already: a process that inherited an open file must have closed
# it, or another one that opens and closes it removes the WAL under it, and what is committed later is in no file.
RSpec.describe "The boundary: forks that do not pass Process._fork" do
  around { |example| in_folder { |folder| (@folder = folder) && example.run } }

  # Runs in the daemon what the block of `become_daemon` is; gives what it wrote to the file `said`.
  def run_daemon(program, hook: "")
    prepare = <<~RUBY
      Dir.chdir(#{@folder.dump})
      TaskerCore.configure { |config| config.database = "tasker.sqlite3"; config.template_paths = [] }
      TaskerCore.template("later") { step :only, handler: "Later" }
      def submit(count) = TaskerCore.submit_all(Array.new(count) { { name: "later" } })
      # Another process that opens and closes the file; the number of tasks it finds.
      def elsewhere(uuids)
        program = <<~ELSEWHERE
          require "tasker_core"
          TaskerCore.configure { |c| c.database = "#{@folder}/tasker.sqlite3"; c.template_paths = [] }
          found = ARGV.count { |uuid| TaskerCore.task(uuid) rescue nil }
          TaskerCore.shutdown
          puts found
        ELSEWHERE
        IO.popen([#{RbConfig.ruby.dump}, "-I", #{Subprocess::LIB.dump}, "-e", program, *uuids], &:read).to_i
      end
      def say(said)
        File.write("#{@folder}/said.part", said)
        File.rename("#{@folder}/said.part", "#{@folder}/said")
      end
    RUBY
    _, errors, status = ruby(prepare + program, prelude: hook + Subprocess::PRELUDE)
    expect([errors, status.success?]).to eq(["", true])
    wait_until("the daemon's word") { File.exist?("#{@folder}/said") }
    File.read("#{@folder}/said")
  end

  it "loses nothing after Process.daemon, which changes the folder too" do
    expect(run_daemon(<<~RUBY)).to eq("15 15")
      tasks = submit(5)
      Process.daemon
      begin
        tasks += submit(5)
        elsewhere([])
        tasks += submit(5)
        uuids = tasks.map(&:task_uuid)
        TaskerCore.shutdown
        say([uuids.uniq.size, elsewhere(uuids)].join(" "))
      rescue Exception => e
        say(e.full_message)
      end
    RUBY
  end

  it "loses nothing after a fork that nobody told of" do
    expect(run_daemon(<<~RUBY)).to eq("10 10")
      tasks = submit(5)
      Process.method(:daemon).super_method.call
      begin
        elsewhere([])
        tasks += submit(5)
        elsewhere([])
        uuids = tasks.map(&:task_uuid)
        TaskerCore.shutdown
        say([uuids.uniq.size, elsewhere(uuids)].join(" "))
      rescue Exception => e
        say(e.full_message)
      end
    RUBY
  end

  it "lets a second thread that forks wait for the first, and a fork that fails leaves nothing behind" do
    # Another library's hook, inside ours, in which other threads run.
    hook = <<~RUBY
      module Slow
        ROUNDS = [0]
        def _fork
          Thread.pass until (ROUNDS[0] += 1) > 2000
          super
        end
      end
      Process.singleton_class.prepend(Slow)
    RUBY
    run_daemon(<<~'RUBY', hook: hook)
      submit(5)
      begin
        TaskerCore::Native.around_fork { raise IOError, "no fork" }
      rescue IOError
        nil
      end
      parent = Process.pid
      Array.new(2) do |number|
        Thread.new do
          fork do
            # Alone with the file: whoever has it open protects the others.
            Thread.pass while Process.ppid == parent
            Thread.pass until number.zero? || File.exist?("child0")
            tasks = submit(2)
            elsewhere([])
            tasks += submit(3)
            TaskerCore.shutdown
            File.write("child#{number}.part", elsewhere(tasks.map(&:task_uuid)))
          rescue Exception => e
            File.write("child#{number}.part", e.full_message)
          ensure
            File.rename("child#{number}.part", "child#{number}")
            exit!(0)
          end
        end
      end.each(&:join)
      say("forked")
      exit!(0)
    RUBY
    children = Array.new(2) { |number| "#{@folder}/child#{number}" }
    wait_until("the children's word") { children.all? { |file| File.exist?(file) } }
    expect(children.map { |file| File.read(file) }).to eq(%w[5 5])
  end
end
