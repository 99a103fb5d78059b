# frozen_string_literal: true

require_relative "clients"
require_relative "clocks"
require_relative "ledger"
require_relative "settings"
require_relative "verdict"
require_relative "workers"

module Chaos
  # Owns: what is done to whom, and when.
  class Campaign
    # What was running when peace came has this long without anything ending, until a wrong clock is to blame.
    STALLED_SECONDS = 15

    def initialize(folder, store, settings)
      @folder = folder
      @store = store
      @settings = settings
      @faults = settings.faults(store.faults)
      @clocks = Clocks.new(folder)
      @faults.delete(:clock) unless @clocks.available?
      @ledger = Ledger.new(folder)
      @witness = File.join(folder, "witness.log")
      @console = File.join(folder, "console.log")
      FileUtils.touch(@witness)
      @env = store.env.merge("CHAOS_FOLDER" => folder, "LOG_LEVEL" => "warn", "TASKER_WEB_PORT" => "0",
                             "HANDLER_MS" => settings["HANDLER_MS"].to_s)
    end

    # @return [Boolean] whether all was right
    def run
      puts "STORE=#{@settings.store} SEED=#{@settings.seed} FAULTS=#{@faults.join(',')}",
           "#{@settings['TASKS']} tasks of #{Work::STEPS.size} steps, #{@settings['WORKERS']} workers"
      puts "NOT DONE: clock jumps: libfaketime is missing (Debian: apt-get install faketime)" unless @clocks.available?
      begin
        disturb
        settle
        stopped = leave
      ensure
        [@workers, @clients].compact.each(&:kill_all)
        @outage&.join
        @clocks.clean(@workers.pids) if @workers
      end
      tell(stopped)
      verdict(stopped).print
    end

    private

    def disturb
      @began = now
      start_all
      due = Settings::EVERY.slice(*@faults).transform_values { |seconds| since + seconds }
      outages = @store.outages.map { |share, what| [share * @settings["SUBMIT_SECONDS"], what] }
      outages.clear unless @faults.include?(:outage)
      until over?(outages)
        tend
        due.each { |kind, moment| due[kind] = act(kind) if since >= moment }
        outage(outages)
        sleep 0.02
      end
    end

    def start_all
      kinds = @faults.include?(:daemon) ? %w[worker daemon] : %w[worker]
      lease = @settings["LEASE_SECONDS"].to_s
      @workers = Workers.new(@settings["WORKERS"], @folder, @settings.random(:workers), kinds) do |kind, name, file|
        env = @faults.include?(:clock) ? @env.merge(@clocks.env(name)) : @env
        Child.new(env, @console, kind, lease, file)
      end
      @clients = Clients.new(@settings["TASKS"], @settings["SUBMIT_SECONDS"], @ledger) do |*arguments|
        Child.new(@env, @console, *arguments)
      end
      @randoms = Hash.new { |randoms, kind| randoms[kind] = @settings.random(kind) }
    end

    def tend
      @workers.bury
      @clients.tend
      look if since >= @look.to_f
      @workers.resume if @resume && since > @resume
      @resume = nil if @resume && since > @resume
    end

    # @return [Float] when the next of its kind is due
    def act(kind)
      case kind
      when :kill then @workers.kill_one
      when :pause then pause
      when :clock then @workers.a_clock&.then { |name| @clocks.jump(name, @randoms[:clock]) }
      when :client then @clients.kill_one(@randoms[:client])
      else @store.public_send(kind, @randoms[kind])
      end
      since + (Settings::EVERY.fetch(kind) * (0.5 + @randoms[:moments].rand))
    end

    def pause
      @workers.pause_one
      @resume = since + @settings["STOP_SECONDS"]
    end

    # Until all is done that was to be done, and so is the work; or for CHAOS_SECONDS.
    def over?(outages)
      return true if since > @settings["CHAOS_SECONDS"]

      outages.empty? && !@outage&.alive? && finished?
    end

    def finished?
      @unfinished&.zero? && @clients.done?
    end

    def look
      @look = since + 1
      final = "'complete', 'error', 'cancelled', 'resolved_manually'"
      counted = @store.rows("SELECT count(*) AS n, count(CASE WHEN state IN (#{final}) THEN 1 END) AS final " \
                            "FROM #{@store.table('tasks')}").first
      @unfinished = @settings["TASKS"] - counted["final"]
      say(format("%6d submitted  %6d final  %7d handler runs", counted["n"], counted["final"], witnessed))
    rescue StoreFailed => e
      say(e.message.lines.first&.chomp)
    end

    # In a thread: the rest goes on while the server is away.
    def outage(outages)
      return if outages.empty? || @outage&.alive? || since < outages.first.first

      what = outages.shift.last
      say("#{@store.name}: #{what}")
      @outage = Thread.new { @store.public_send(what) }
      @outage.report_on_exception = false
    end

    # The rest of the work, in peace, and with clocks that are right.
    def settle
      @outage&.join
      @store.calm
      @workers.resume
      @workers.clocks.each { |name| @clocks.set(name, 0) }
      say("peace")
      until finished? || since > @settings["LIMIT_SECONDS"]
        tend
        blame_clocks if stalled?
        sleep 0.1
      end
      say(finished? ? "all tasks are final" : "#{@unfinished} tasks are not final, or operators are not done")
    end

    def stalled?
      progress = [@unfinished, witnessed, @ledger.outcomes.size]
      @moved = since if @progress != progress
      @progress = progress
      since - @moved > STALLED_SECONDS
    end

    # What waits for a time that a wrong clock has named gets it.
    def blame_clocks
      @late ||= @store.rows("SELECT count(*) AS n FROM #{@store.table('steps')} WHERE due_at IS NOT NULL AND " \
                            "#{@store.seconds_until('due_at')} > 30").first["n"]
      @workers.clocks.each { |name| @clocks.set(name, 2 * Clocks::JUMP.max) }
    rescue StoreFailed => e
      say(e.message.lines.first&.chomp)
    end

    def leave
      forget_the_dead
      clients = @clients.finish(30)
      say("some client does not come to its end") unless clients
      @workers.finish(60) + [clients]
    end

    # The living have a while for that.
    def forget_the_dead
      deadline = now + 15
      rows = "SELECT count(*) AS n FROM #{@store.table('workers')}"
      sleep 0.2 until @store.rows(rows).first["n"] <= @settings["WORKERS"] || now > deadline
    rescue StoreFailed => e
      say(e.message.lines.first&.chomp)
    end

    def tell(stopped)
      counts = @workers.counts
      puts "workers: #{counts.started} started, #{counts.daemons} of them as daemons, #{counts.killed} killed with " \
           "SIGKILL, #{counts.stopped} stopped for #{@settings['STOP_SECONDS']} s, #{counts.left} ended by " \
           "themselves, #{counts.never_began} could not start; clocks set #{@clocks.jumps} times",
           "clients: #{@clients.started} started, #{@clients.killed} killed, #{@clients.crashed.size} ended badly",
           @store.to_s
      puts "console: #{@console}" unless stopped.all?
    end

    def verdict(stopped)
      facts = { "no worker ended by itself" => @workers.counts.left.zero?,
                "the last ones stopped as they should" => stopped.all?,
                "nothing waits for a time that a wrong clock named (#{@late.to_i} steps did)" => @late.to_i.zero?,
                "what was to be done could be done" => @clocks.available? || ENV["CI"] != "true",
                "workers were killed" => @workers.counts.killed.positive? || !@faults.include?(:kill) }
      excuse = (@faults & %i[pause cut network outage]).any?
      Verdict.new(@store, @ledger, Witness.read(@witness), tasks: @settings["TASKS"], facts: facts, excuse: excuse,
                                                           refused: @workers.refused, harmed: @workers.harmed)
    end

    def say(line)
      puts format("%6.1f s  %s", since, line)
    end

    def witnessed
      File.size(@witness) / Witness::LINE_BYTES
    end

    def since
      now - @began
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
