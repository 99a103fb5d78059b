# frozen_string_literal: true

require "open3"

# A server that is gone, or that neither answers nor hangs up: nobody has to wait for it.
RSpec.describe "A PostgreSQL server that does not answer" do
  command = File.expand_path("../../bin/postgres", __dir__)

  before(:all) do
    skip "needs PostgreSQL" if Dir["/usr/lib/postgresql/*/bin/initdb"].empty?
    @folder = Open3.capture2(command, "folder").first.chomp
  end
  after(:all) { system(command, "remove", @folder) if @folder }

  before do
    running = File.exist?("#{@folder}/data/postmaster.pid")
    @url = running ? File.read("#{@folder}/url").chomp : Open3.capture2(command, "start", "--fast", @folder).first.chomp
    configure(database: @url, pool_size: 2)
    TaskerCore.template("later") { step :only, handler: "Later" }
  end

  define_method(:stop_server) { system(command, "stop", @folder) }

  def seconds
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  end

  # Every server process stands still while the block runs.
  def while_frozen
    postmaster = Integer(File.readlines("#{@folder}/data/postmaster.pid").first)
    pids = Dir["/proc/[0-9]*/stat"].filter_map do |file|
      stat = File.read(file)
      Integer(stat[/\A\d+/]) if stat[/\) . (\d+)/, 1].to_i == postmaster
    rescue SystemCallError
      nil
    end
    pids.unshift(postmaster).each { |pid| Process.kill("STOP", pid) }
    yield
  ensure
    pids&.reverse_each { |pid| Process.kill("CONT", pid) }
  end

  it "keeps nobody who asks or reads" do
    task = TaskerCore.submit("later")
    calls = [-> { TaskerCore.submit("later") }, -> { TaskerCore.submit("elsewhere") }, -> { task.cancel },
             -> { task.state }, -> { task.transitions }, -> { task.wait }, -> { TaskerCore.migrate },
             -> { task.reload.context }]
    while_frozen do
      taken = seconds do
        calls.each { |call| expect { Timeout.timeout(0.05) { call.call } }.to raise_error(Timeout::Error) }
        expect { task.wait(timeout: 0.05) }.to raise_error(TaskerCore::TimeoutError)
      end
      expect(taken).to be < 4
    end
  end

  it "does not hold up a stop for longer than its timeout and 10 seconds" do
    taken = nil
    program = <<~RUBY
      TaskerCore.configure { |config| config.database = #{@url.dump}; config.template_paths = [] }
      class Slow
        def call(_)
          $stdout.syswrite("inside\\n")
          Queue.new.pop
        end
      end
      TaskerCore.template("slow") { step :only, handler: "Slow" }
      TaskerCore.submit("slow")
      TaskerCore::Worker.run(concurrency: 1, shutdown_timeout: 0.5)
    RUBY
    status = start_ruby(program) do |output, pid|
      expect(output.gets).to eq("inside\n")
      while_frozen do
        taken = seconds do
          Process.kill("TERM", pid)
          expect(output.read).to eq("")
        end
      end
    end
    expect(taken).to be < 10.5
    expect(status.termsig || status.exitstatus).to eq(Signal.list["TERM"]).or eq(0)
  end

  it "does not when it is gone" do
    program = <<~RUBY
      at_exit { puts Process.clock_gettime(Process::CLOCK_MONOTONIC) - $began } # runs after tasker_core's own
      TaskerCore.configure { |config| config.database = #{@url.dump}; config.template_paths = [] }
      TaskerCore::Worker.start(concurrency: 1, shutdown_timeout: 0.5)
      $stdout.syswrite("running\n")
      $stdin.gets
      $began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      TaskerCore::Worker.stop
    RUBY
    IO.popen([{ "LOG_LEVEL" => "off" }, RbConfig.ruby, "-I", Subprocess::LIB, "-e", Subprocess::PRELUDE + program],
             "r+") do |child|
      expect(child.gets).to eq("running\n")
      stop_server
      child.puts
      expect(Float(child.gets)).to be < 10.5
    end
  end
end
