# frozen_string_literal: true

# What a step costs while the database grows: slices of 4-step tasks, each submitted and carried out by one worker, on
# top of all that were finished before. The cost is the processor time of the worker and of the server for each step,
# which other work on the machine does not change much; the wall time is shown beside it.
#
#     rake bench:growth                      1,000,000 tasks on a throw-away PostgreSQL, or on TEST_DATABASE_URL's
#     TASKS=200000 SLICE=20000 rake bench:growth
#
# Exit 1 if a step in the last three slices costs over 5 % more than in the first three.

require_relative "psql"

unless ENV["BENCH_DATABASE_URL"]
  unless ENV["TEST_DATABASE_URL"]
    exec(File.expand_path("../bin/postgres", __dir__), "run", "--set", "shared_buffers=1GB",
         "--set", "max_wal_size=4GB", RbConfig.ruby, __FILE__)
  end
  Psql.with_database(ENV.fetch("TEST_DATABASE_URL")) do |url|
    system({ "BENCH_DATABASE_URL" => url, "LOG_LEVEL" => "error" }, RbConfig.ruby, "-Ilib", __FILE__) or exit 1
  end
  exit
end

require_relative "server_cpu"
require_relative "stand"

# Owns: one slice, and the processor time of everybody who works on it.
class Growth
  ALLOWED = 1.05
  Row = Struct.new(:finished, :steps_per_s, :worker_us, :server_us) do
    def cost
      worker_us + server_us
    end

    def to_s
      format("%<finished>10d %<rate>12.0f %<worker>14.1f %<server>14.1f %<cost>10.1f",
             finished: finished, rate: steps_per_s, worker: worker_us, server: server_us, cost: cost)
    end
  end

  def initialize
    @tasks = Integer(ENV.fetch("TASKS", "1000000"))
    @server = ServerCpu.new(Stand::POSTGRES)
    @slice = Integer(ENV.fetch("SLICE", (@tasks / 20).to_s))
  end

  # @return [Boolean] whether the cost stayed flat
  def run
    puts "  finished      steps/s  worker us/step  server us/step   us/step"
    rows = (0...@tasks).step(@slice).map { |finished| slice(finished).tap { |row| puts row } }
    first, last = [rows.first(3), rows.last(3)].map { |some| some.map(&:cost).sum / some.size }
    puts format("a step costs %<ratio>.2f times what it did at the start (at most %<allowed>.2f)",
                ratio: last / first, allowed: ALLOWED)
    last / first <= ALLOWED
  end

  private

  def slice(finished)
    Stand.fill(@slice, "linear4")
    worker = worker_seconds
    server = @server.seconds
    seconds = drain(finished + @slice)
    TaskerCore::Worker.stop
    per_step = ->(spent) { spent * 1e6 / (@slice * 4) }
    Row.new(finished, @slice * 4 / seconds, per_step[worker_seconds - worker], per_step[@server.seconds - server])
  end

  def drain(goal)
    began = Stand.now
    TaskerCore::Worker.start
    sleep 0.01 until TaskerCore.status[:totals][:tasks_finalized] >= goal
    (Stand.now - began).tap do
      complete = Psql.value(Stand::POSTGRES, "SELECT count(*) AS n FROM tasker.tasks WHERE state = 'complete'")
      abort "growth: #{complete} tasks of #{goal} are complete" unless complete == goal
    end
  end

  def worker_seconds
    times = Process.times
    times.utime + times.stime
  end
end

TaskerCore.configure do |config|
  config.database = Stand::POSTGRES
  config.concurrency = Stand::CONCURRENCY
  config.template_paths = []
  config.retention_days = 0
end
Stand.linear(4)
flat = Growth.new.run
TaskerCore.shutdown
exit(flat ? 0 : 1)
