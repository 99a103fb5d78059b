# frozen_string_literal: true

require "rbconfig"

module EventChaos
  # Owns: the processes, and when they are killed.
  class Campaign
    STEPS = 3
    PROGRAM = File.expand_path("process.rb", __dir__)
    LIB = File.expand_path("../../lib", __dir__)

    # @return [String] what subscribers wrote
    attr_reader :log
    # @return [Integer]
    attr_reader :tasks

    def initialize(folder, database, env)
      @tasks = Integer(env.fetch("EVENTS", "30000")).fdiv(STEPS).ceil
      @random = Random.new(Integer(env.fetch("SEED", Random.new_seed.to_s)) % (2**32))
      @rate = Float(env.fetch("KILLS_PER_SECOND", "2"))
      @wanted = { "worker" => Integer(env.fetch("WORKERS", "2")),
                  "subscriber" => Integer(env.fetch("SUBSCRIBERS", "2")) }
      @limit = Float(env.fetch("LIMIT_SECONDS", "900"))
      @log = "#{folder}/witness.log"
      @console = "#{folder}/console.log"
      @env = { "CHAOS_DATABASE" => database, "LOG" => @log, "LOG_LEVEL" => "error", "TASKER_WEB_ENABLED" => "false",
               "TASKER_DATABASE" => nil, "DATABASE_URL" => nil }
      @kills = Hash.new(0)
      @running = {}
    end

    def run
      puts "#{@tasks * STEPS} events, SEED=#{@random.seed}"
      began = now
      submitter = start("submit", @tasks.to_s)
      @wanted.each { |what, count| count.times { @running[start(what)] = what } }
      kill_and_replace until over?
      Process.wait(submitter)
      finish
      puts format("%d processes killed (%s) in %.1f s", @kills.values.sum, @kills, now - began)
    end

    private

    # Enough kills happened while there was something to do: from here on everything must come by itself.
    def over?
      abort "event_chaos: not all events came within #{@limit} s" if (@started ||= now) + @limit < now
      lines >= @tasks * STEPS * 2 * 0.9
    end

    def lines
      File.exist?(@log) ? File.foreach(@log).count : 0
    end

    def kill_and_replace
      sleep @random.rand * 2 / @rate
      pid, what = @running.to_a.sample(random: @random)
      kill(pid)
      @kills[what] += 1
      @running[start(what)] = what
    end

    def finish
      deadline = now + @limit
      sleep 0.05 until complete? || now > deadline
      end_all until @running.empty?
    end

    # One that has only just been started may miss its first signal.
    def end_all
      Process.kill(:TERM, *@running.keys)
      deadline = now + 3
      while @running.any? && now < deadline
        sleep 0.02
        @running.delete_if { |pid,| Process.wait(pid, Process::WNOHANG) }
      end
    end

    # Each group's log has an event for each step.
    def complete?
      seen = Hash.new { |hash, group| hash[group] = {} }
      File.foreach(@log) { |line| line.split.then { |group, _, _, id| seen[group][id] = true } }
      seen.size == 2 && seen.values.all? { |ids| ids.size >= @tasks * STEPS }
    end

    def kill(pid)
      Process.kill(:KILL, pid)
      Process.wait(pid)
      @running.delete(pid)
    end

    def start(*what)
      Process.spawn(@env, RbConfig.ruby, "-I", LIB, PROGRAM, *what, %i[out err] => [@console, "a"])
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
