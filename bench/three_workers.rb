# frozen_string_literal: true

# The order workflow of examples/ with three worker processes on one PostgreSQL, and an OTLP receiver that all of them
# export to. Each kind of step must have run on several of the workers, and each order must be one trace across all
# that had a part in it, with the parents of docs/internals/spans.md. Exit 1 if not.
#
#     rake bench:three_workers               on a throw-away PostgreSQL (bin/postgres), or on TEST_DATABASE_URL's
#     ORDERS=300 rake bench:three_workers

require "English"
require "fileutils"
require_relative "../spec/support/otlp_sink"
require_relative "psql"
require_relative "three_workers/traces"
require_relative "verify/table"

# Owns: the processes, and what is asked of the database and of the receiver after them.
class ThreeWorkers
  WORKERS = 3
  STEPS = %w[fetch_cart validate_products price_order charge_payment fulfil_order send_confirmation].freeze
  SECONDS = 120

  def initialize(url, sink)
    @url = url
    @sink = sink
    @orders = Integer(ENV.fetch("ORDERS", "300"))
    @env = { "DATABASE_URL" => url, "TASKER_DATABASE" => nil, "LOG_LEVEL" => "error", "TASKER_WEB_PORT" => "0",
             "OTEL_METRICS_EXPORTER" => "none", "OTEL_LOGS_EXPORTER" => "none" }.merge(sink.env)
    @table = Verify::Table.new
    @workers = []
  end

  # @return [Boolean] whether all was right
  def run
    WORKERS.times { @workers << start("worker") }
    @workers.each { |worker| worker.gets or abort "three_workers: a worker did not start" }
    submitter = start("submit", @orders.to_s)
    submitter.read
    submitter.close
    abort "three_workers: submission failed" unless $CHILD_STATUS.success?
    await
    stop
    compare
  ensure
    kill
  end

  private

  def rows(sql)
    Psql.rows(@url, sql)
  end

  def start(*arguments)
    script = File.join(__dir__, "three_workers/process.rb")
    IO.popen([@env, RbConfig.ruby, "-I#{File.expand_path('../lib', __dir__)}", script, *arguments], "r")
  end

  def await
    deadline = now + SECONDS
    sleep 0.1 until (left = states.except("complete", "error").values.sum).zero? || now > deadline
    puts "three_workers: #{left} orders are not final after #{SECONDS} s" if left.positive?
  end

  def states
    rows("SELECT state, count(*) AS n FROM tasker.tasks GROUP BY state").to_h { |row| row.values_at("state", "n") }
  end

  # What they have not exported yet goes out as they end.
  def stop
    @pids = @workers.map(&:pid)
    @pids.each { |pid| Process.kill(:TERM, pid) }
    statuses = @workers.map do |worker|
      worker.read
      worker.close
      $CHILD_STATUS.exitstatus
    end
    @workers.clear
    @table.same("workers left with", [0] * WORKERS, statuses)
  end

  def kill
    @workers.each { |worker| Process.kill(:KILL, worker.pid) }
  end

  def compare
    @traces = Traces.new(@sink.spans)
    compare_orders
    compare_steps
    compare_traces
    compare_parents
    @table.good?
  end

  def compare_orders
    @table.section("Orders in PostgreSQL")
    @table.same("complete", @orders, states.fetch("complete", 0))
    @table.same("in any other state", 0, states.except("complete").values.sum)
  end

  def compare_steps
    @table.section("Attempts of each kind of step, by worker")
    claims = rows(<<~SQL)
      SELECT s.name, t.metadata->>'worker' AS worker, count(*) AS n
        FROM tasker.step_transitions t JOIN tasker.steps s ON s.task_id = t.task_id AND s.position = t.position
        WHERE t.to_state = 'in_progress' GROUP BY 1, 2
    SQL
    STEPS.each do |step|
      counts = claims.select { |row| row["name"] == step }.map { |row| row["n"] }
      @table.row("#{step}: #{counts.sort.reverse.join(' + ')}", ">= 2", counts.size, counts.size >= 2)
    end
    compare_attempts(claims)
  end

  def compare_attempts(claims)
    known = claims.map { |row| row["worker"] }.uniq
    @table.row("workers that ran steps", WORKERS, known.size,
               known.size == WORKERS && @pids.all? { |pid| known.any? { |name| name.include?("-#{pid}-") } })
    @table.same("worker.step_execution spans", claims.sum { |row| row["n"] }, @traces.named(Traces::ATTEMPT).size)
  end

  def compare_traces
    @table.section("Traces at the receiver")
    ids = rows("SELECT trace_id FROM tasker.tasks").map { |row| row["trace_id"].delete("-") }
    @table.row("one for each order, with its id", @orders, @traces.ids.size, @traces.ids.sort == ids.sort)
    @table.same("without exactly one root, task.orchestration", 0, @traces.without_one_root.size)
    spread = @traces.workers_each
    several = spread.sum { |workers, count| workers > 1 ? count : 0 }
    @table.row("across several workers #{spread.sort.to_h}", ">= 1", several, several.positive?)
    @table.same("span ids that came twice", 0, @traces.twice)
  end

  def compare_parents
    @table.section("Spans at the receiver")
    Traces::PARENTS.each do |name, parent|
      all = @traces.named(name).size
      misplaced = @traces.misplaced.fetch(name, []).size
      @table.row("#{name}: #{all}; not below #{parent}", 0, misplaced, misplaced.zero? && all.positive?)
    end
    others = @traces.misplaced.except(*Traces::PARENTS.keys)
    @table.same("of any other kind #{others.keys.join(', ')}".rstrip, 0, others.values.sum(&:size))
    @table.same("handler.execution in another process than its attempt", 0, @traces.elsewhere.size)
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

$stdout.sync = true
postgres = ENV["TEST_DATABASE_URL"].to_s
exec(File.expand_path("../bin/postgres", __dir__), "run", RbConfig.ruby, __FILE__) if postgres.empty?

fine = Psql.with_database(postgres) { |url| OtlpSink.open { |sink| ThreeWorkers.new(url, sink).run } }
exit(fine)
