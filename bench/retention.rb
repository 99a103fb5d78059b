# frozen_string_literal: true

# Whether retention keeps up at full load: a worker on PostgreSQL that always has more to do, finished tasks deleted
# after seconds, for ten minutes. Prints what the tables hold and what room they take, and judges that neither grows.
#
#     rake bench:retention                      on a throw-away PostgreSQL, or on TEST_DATABASE_URL's
#     RETENTION_SECONDS=600 KEEP_SECONDS=10 rake bench:retention
#
# Exit 1 if rows or room in the last third are over 20 % above those in the second.

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

require_relative "stand"

# Owns: the load, the looks, and the judgement.
class Retention
  ALLOWED = 1.2
  LOOKS = 30
  BATCH = 1000
  # Tasks that wait, so that the worker never does.
  BACKLOG = 4000
  Row = Struct.new(:seconds, :finished, :steps_per_s, :tasks, :megabytes, :dead) do
    def to_s
      format("%8.0f %10d %9.0f %10d %9.1f %10d", *to_a)
    end
  end

  def initialize
    @seconds = Integer(ENV.fetch("RETENTION_SECONDS", "600"))
    @submitted = 0
  end

  # @return [Boolean] whether the tables stayed level
  def run
    feeder = Thread.new { loop { feed } }
    feeder.abort_on_exception = true
    puts " seconds   finished   steps/s       rows        MB  dead rows"
    rows = looks
    feeder.kill.join
    %i[tasks megabytes].map { |figure| level?(rows, figure) }.all?
  end

  private

  def feed
    return sleep(0.01) if @submitted - finished > BACKLOG

    Stand.fill(BATCH, "linear4")
    @submitted += BATCH
  end

  def looks
    began = Stand.now
    before = 0
    Array.new(LOOKS) do |index|
      sleep [began + (@seconds * (index + 1) / LOOKS.to_f) - Stand.now, 0].max
      done = finished
      row = look(Stand.now - began, done, (done - before) * 4 / (@seconds / LOOKS.to_f))
      before = done
      row.tap { puts row }
    end
  end

  def look(seconds, finished, rate)
    found = Psql.rows(Stand::POSTGRES, <<~SQL).first
      SELECT (SELECT count(*) FROM tasker.tasks) AS tasks,
             sum(pg_total_relation_size(relid)) / 1048576.0 AS megabytes, sum(n_dead_tup) AS dead
      FROM pg_stat_user_tables WHERE schemaname IN ('tasker', 'pgmq')
    SQL
    Row.new(seconds, finished, rate, found["tasks"], found["megabytes"].to_f, found["dead"])
  end

  def level?(rows, figure)
    third = LOOKS / 3
    second, last = [rows[third, third], rows.last(third)].map { |some| Stand.median(some.map(&figure)) }
    level = last <= second * ALLOWED
    puts format("%s: %.0f in the second third, %.0f in the last: %.2f (at most %.1f) %s", figure, second, last,
                last / second.to_f, ALLOWED, level ? "ok" : "MISSED")
    level
  end

  def finished
    TaskerCore.status[:totals][:tasks_finalized]
  end
end

$stdout.sync = true
Stand.configure(Stand::POSTGRES)
TaskerCore.configuration.retention_days = Float(ENV.fetch("KEEP_SECONDS", "10")) / 86_400
Stand.linear(4)
TaskerCore::Worker.start
level = Retention.new.run
TaskerCore.shutdown
exit(level)
