# frozen_string_literal: true

# The worker is killed with SIGKILL again and again, at random, while it has thousands of tasks to do, and
# started again. Then the SQLite file must say that nothing was lost and nothing was made up; a log that the
# handlers wrote beside it bears witness. Exit 1 if it does not.
#
#     rake bench:crash
#     TASKS=10000 KILLS=6 SEED=1 rake bench:crash

require "English"
require "fileutils"
require "tmpdir"
require_relative "crash/verify"

# Owns: the worker's processes and the moments they are killed.
class Crash
  STEPS = 4
  STALLED_SECONDS = 120

  def initialize(folder)
    @tasks = Integer(ENV.fetch("TASKS", "10000"))
    @kills = Integer(ENV.fetch("KILLS", "6"))
    @random = Random.new(Integer(ENV.fetch("SEED", Random.new_seed.to_s)) % (2**32))
    @database = File.join(folder, "tasker.sqlite3")
    @witness = File.join(folder, "witness.log")
    @console = File.join(folder, "console.log")
    @env = { "TASKER_DATABASE" => @database, "WITNESS" => @witness, "LOG_LEVEL" => "warn",
             "TASKER_WEB_PORT" => "0" }
  end

  def run
    puts "#{@tasks} tasks of #{STEPS} steps, #{@kills} kills, SEED=#{@random.seed}"
    FileUtils.touch(@witness)
    Process.wait(start("submit", @tasks.to_s))
    abort "crash: submission failed\n#{File.read(@console)}" unless $CHILD_STATUS.success?

    began = now
    thresholds.each { |lines| kill_after(lines) }
    finish
    puts format("all tasks are final after %.1f s", now - began)
    CrashVerdict.new(@database, @witness, @tasks, STEPS).print
  end

  private

  # How many handler runs the witness log has when the next kill falls: all over the work.
  def thresholds
    work = @tasks * STEPS
    Array.new(@kills) { (work * (0.02 + (0.9 * @random.rand))).to_i }.sort
  end

  def kill_after(lines)
    pid = start("worker")
    wait_for(pid) { witnessed >= lines }
    sleep @random.rand * 0.02
    Process.kill(:KILL, pid)
    Process.wait(pid)
    puts "killed worker #{pid} with #{witnessed} handler runs begun"
  end

  def finish
    pid = start("worker")
    wait_for(pid, 0.1) { unfinished.zero? }
    Process.kill(:TERM, pid)
    Process.wait(pid)
    puts "the last worker left with #{$CHILD_STATUS.exitstatus || $CHILD_STATUS}"
  end

  # Fails when the work stands still.
  def wait_for(pid, pause = 0.002)
    seen = witnessed
    since = now
    until yield
      sleep pause
      abort "crash: worker #{pid} ended by itself\n#{File.read(@console)}" if Process.wait(pid, Process::WNOHANG)

      if witnessed > seen
        seen = witnessed
        since = now
      end
      next if now - since < STALLED_SECONDS

      Process.kill(:KILL, pid)
      abort "crash: nothing happened for #{STALLED_SECONDS} s; #{unfinished} tasks are not final\n" \
            "#{File.read(@console).lines.last(20).join}"
    end
  end

  def witnessed
    File.size(@witness) / Witness::LINE_BYTES
  end

  def unfinished
    final = "'complete', 'error', 'cancelled', 'resolved_manually'"
    CrashVerdict.query(@database, "SELECT count(*) AS n FROM tasks WHERE state NOT IN (#{final})").first.fetch("n")
  end

  def start(*arguments)
    script = File.join(__dir__, "crash/process.rb")
    lib = File.expand_path("../lib", __dir__)
    spawn(@env, RbConfig.ruby, "-I#{lib}", script, *arguments, %i[out err] => [@console, "a"])
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

FileUtils.mkdir_p(File.expand_path("../tmp/bench", __dir__))
folder = Dir.mktmpdir("crash", File.expand_path("../tmp/bench", __dir__))
if Crash.new(folder).run
  FileUtils.rm_rf(folder)
else
  puts "kept for a look: #{folder}"
  exit 1
end
