# frozen_string_literal: true

# Three worker processes on one PostgreSQL, while a random one is killed with SIGKILL every second and replaced, a
# random one stopped with SIGSTOP for longer than its lease and then let go on, connections are cut with
# pg_terminate_backend, and the server is restarted, killed with -9, restarted again; tasks are submitted meanwhile.
# Then the database must say that nothing was lost and nothing was made up; a log that the handlers wrote beside it
# bears witness. Exit 1 if it does not.
#
#     rake bench:chaos
#     TASKS=20000 SEED=1 rake bench:chaos
#     SUBMIT_SECONDS=40 LEASE_SECONDS=2 STOP_SECONDS=8 HANDLER_MS=10 CHAOS_SECONDS=120 LIMIT_SECONDS=420

require "English"
require "fileutils"
require "tmpdir"
require_relative "chaos/server"
require_relative "chaos/verdict"
require_relative "chaos/workers"

# Owns: what is done to whom, and when.
class Chaos
  WORKERS = 3
  # Seconds between two of a kind.
  EVERY = { kill: 1, pause: 9, cut: 1.5, look: 1 }.freeze

  def initialize(folder, server)
    @folder = folder
    @server = server
    @tasks = setting("TASKS", 20_000)
    @random = Random.new(setting("SEED", Random.new_seed) % (2**32))
    @witness = File.join(folder, "witness.log")
    @console = File.join(folder, "console.log")
    @env = { "DATABASE_URL" => server.url, "TASKER_DATABASE" => nil, "WITNESS" => @witness, "LOG_LEVEL" => "warn",
             "TASKER_WEB_PORT" => "0", "HANDLER_MS" => ENV.fetch("HANDLER_MS", "10") }
  end

  # @return [Boolean] whether all was right
  def run
    puts "#{@tasks} tasks of #{Work::STEPS.size} steps, #{WORKERS} workers, SEED=#{@random.seed}"
    FileUtils.touch(@witness)
    begin
      disturb
      settle
      statuses = @workers.finish(60)
    ensure
      stop_all
    end
    tell(statuses)
    fine = @workers.counts.left.zero? && statuses.all?(0)
    puts "  #{fine ? 'yes' : 'NO '}  no worker ended by itself, and the last ones left with 0"
    upset = @server.terminated.positive? && @workers.counts.stopped.positive? && @workers.counts.killed.positive?
    puts "  #{upset ? 'yes' : 'NO '}  workers were killed and stopped, connections were cut"
    ChaosVerdict.new(@server, @witness, @tasks, @workers.refused).print && fine && upset
  end

  private

  def setting(name, default)
    Integer(ENV.fetch(name, default.to_s))
  end

  def disturb
    @began = now
    @workers = Workers.new(WORKERS, @folder, @random) { |file| start("worker", ENV.fetch("LEASE_SECONDS", "2"), file) }
    seconds = setting("SUBMIT_SECONDS", 40)
    @submitter = start("submit", @tasks.to_s, seconds.to_s)
    @outages = { 0.2 => :restart, 0.5 => :kill, 0.8 => :restart }.map { |share, what| [share * seconds, what] }
    @next = EVERY.merge(pause: 3)
    until over?
      @workers.bury
      each_due { |what| send(what) }
      outage
      sleep 0.02
    end
  end

  # Until all is done that was to be done, and so is the work; or for CHAOS_SECONDS.
  def over?
    return true if since > setting("CHAOS_SECONDS", 120)

    submitted? && @outages.empty? && !@outage&.alive? && @unfinished&.zero?
  end

  def each_due
    @next.each do |what, moment|
      next if since < moment

      yield what
      @next[what] = since + EVERY.fetch(what)
    end
    return unless @resume && since > @resume

    @workers.resume
    @resume = nil
  end

  def kill
    @workers.kill_one
  end

  def pause
    return if @resume

    @workers.pause_one
    @resume = since + setting("STOP_SECONDS", 8)
  end

  def cut
    @server.cut(1 + @random.rand(3))
  end

  def look
    final = "'complete', 'error', 'cancelled', 'resolved_manually'"
    sql = "SELECT count(*) AS n, count(CASE WHEN state IN (#{final}) THEN 1 END) AS final FROM tasker.tasks"
    counted = @server.rows(sql).first
    @unfinished = @tasks - counted["final"]
    puts format("%6.1f s  %6d submitted  %6d final  %7d handler runs", since, counted["n"], counted["final"], witnessed)
  rescue Psql::Failed => e
    puts format("%6.1f s  %s", since, e.message.lines.first&.chomp)
  end

  # In a thread: the rest goes on while the server is away.
  def outage
    return if @outages.empty? || @outage&.alive? || since < @outages.first.first

    what = @outages.shift.last
    puts format("%6.1f s  PostgreSQL: %s", since, what)
    @outage = Thread.new { @server.public_send(what) }
    @outage.report_on_exception = false
    (@outages_done ||= []) << what
  end

  def submitted?
    return true if @acknowledged
    return false unless Process.wait(@submitter, Process::WNOHANG)

    @submitter = nil
    abort "chaos: submission failed\n#{last_lines.join}" unless $CHILD_STATUS.success?
    @acknowledged = true
  end

  # The rest of the work, in peace.
  def settle
    @outage&.join
    @workers.resume
    limit = setting("LIMIT_SECONDS", 420)
    loop do
      look
      break if submitted? && @unfinished == 0

      return puts("chaos: #{@unfinished.inspect} tasks are not final after #{limit} s", last_lines) if since > limit

      @workers.bury
      sleep 0.5
    end
    puts format("all tasks are final after %.1f s", since)
  end

  def last_lines
    File.read(@console).lines.last(20)
  end

  def stop_all
    @outage&.join
    @workers&.kill_all
    return unless @submitter

    Process.kill(:KILL, @submitter)
    Process.wait(@submitter)
  end

  def tell(statuses)
    counts = @workers.counts
    puts "workers: #{counts.started} started, #{counts.killed} killed with SIGKILL, #{counts.stopped} stopped for " \
         "#{setting('STOP_SECONDS', 8)} s, #{counts.left} ended by themselves, #{counts.never_began} could not " \
         "start, the last left with #{statuses}",
         "PostgreSQL: #{@outages_done&.tally}, #{@server.terminated} connections cut",
         File.foreach(@console).grep(/are acknowledged/)
  end

  def start(*arguments)
    script = File.join(__dir__, "chaos/process.rb")
    lib = File.expand_path("../lib", __dir__)
    spawn(@env, RbConfig.ruby, "-I#{lib}", script, *arguments, %i[out err] => [@console, "a"])
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

$stdout.sync = true
%w[TERM HUP].each { |signal| trap(signal) { exit(1) } }
parent = File.expand_path("../tmp/bench", __dir__)
FileUtils.mkdir_p(parent)
folder = Dir.mktmpdir("chaos", parent)
server = Server.new
begin
  fine = Chaos.new(folder, server).run
ensure
  if fine
    server.remove
    FileUtils.rm_rf(folder)
  else
    server.stop
    puts "kept for a look: #{folder}; bin/postgres start #{server.folder}, and remove instead of start when done"
  end
end
exit(fine)
