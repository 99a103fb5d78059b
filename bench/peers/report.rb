# frozen_string_literal: true

module Peers
  # The medians, what they mean beside each other, and the table of it.
  class Report
    # Key, unit, what it is.
    FIGURES = [
      ["postgres.steps_per_s", "steps/s", "ours on PostgreSQL, 4-step tasks queued"],
      ["pgmq_rows.steps_per_s", "steps/s", "row-at-a-time PGMQ, the same"],
      ["dbos.postgres.steps_per_s", "steps/s", "DBOS on PostgreSQL, its best way"],
      ["dbos.postgres.queue.steps_per_s", "steps/s", "  its queue, worker_concurrency 10"],
      ["dbos.postgres.threads.steps_per_s", "steps/s", "  called from 10 threads"],
      ["dbos.postgres.start.steps_per_s", "steps/s", "  start_workflow, 10 executor threads"],
      ["dbos.postgres.coroutines.steps_per_s", "steps/s", "  called from 10 coroutines"],
      ["sidekiq.jobs_per_s", "jobs/s", "Sidekiq on Redis, no workflow, no durability"],
      ["sqlite.steps_per_s", "steps/s", "ours on SQLite"],
      ["dbos.sqlite.steps_per_s", "steps/s", "DBOS on SQLite, its best way"],
      ["dbos.sqlite.queue.steps_per_s", "steps/s", "  its queue, worker_concurrency 10"],
      ["dbos.sqlite.threads.steps_per_s", "steps/s", "  called from 10 threads"],
      ["dbos.sqlite.start.steps_per_s", "steps/s", "  start_workflow, 10 executor threads"],
      ["dbos.sqlite.coroutines.steps_per_s", "steps/s", "  called from 10 coroutines"],
      ["postgres.submits_per_s", "tasks/s", "ours on PostgreSQL, submitted in batches of 1000"],
      ["sqlite.submits_per_s", "tasks/s", "ours on SQLite, the same"],
      ["postgres.linear4.p50_ms", "ms", "ours on PostgreSQL, 4-step task, one at a time"],
      ["postgres.linear4.p99_ms", "ms", ""],
      ["postgres.task.linear4.p50_ms", "ms", "  with durability :task"],
      ["postgres.task.linear4.p99_ms", "ms", ""],
      ["dbos.postgres.linear4.p50_ms", "ms", "DBOS on PostgreSQL, the same"],
      ["dbos.postgres.linear4.p99_ms", "ms", ""],
      ["sqlite.linear4.p50_ms", "ms", "ours on SQLite, the same"],
      ["sqlite.linear4.p99_ms", "ms", ""],
      ["dbos.sqlite.linear4.p50_ms", "ms", "DBOS on SQLite, the same"],
      ["dbos.sqlite.linear4.p99_ms", "ms", ""],
      ["base.sqlite.steps_per_s", "steps/s", "BASE on SQLite"],
      ["base.sqlite.submits_per_s", "tasks/s", "BASE on SQLite, submitted in batches of 1000"],
      ["base.sqlite.linear4.p50_ms", "ms", "BASE on SQLite, 4-step task, one at a time"],
      ["base.sqlite.linear4.p99_ms", "ms", ""]
    ].freeze

    # Key, of what, over what.
    RATIOS = [
      ["ratio.postgres.steps_over_dbos", "postgres.steps_per_s", "dbos.postgres.steps_per_s"],
      ["ratio.postgres.steps_over_pgmq_rows", "postgres.steps_per_s", "pgmq_rows.steps_per_s"],
      ["ratio.postgres.steps_over_sidekiq", "postgres.steps_per_s", "sidekiq.jobs_per_s"],
      ["ratio.postgres.linear4_p50_over_dbos", "postgres.linear4.p50_ms", "dbos.postgres.linear4.p50_ms"],
      ["ratio.postgres.task_p50_over_dbos", "postgres.task.linear4.p50_ms", "dbos.postgres.linear4.p50_ms"],
      ["ratio.sqlite.steps_over_dbos", "sqlite.steps_per_s", "dbos.sqlite.steps_per_s"],
      ["ratio.sqlite.linear4_p50_over_dbos", "sqlite.linear4.p50_ms", "dbos.sqlite.linear4.p50_ms"],
      ["ratio.sqlite.steps_over_base", "sqlite.steps_per_s", "base.sqlite.steps_per_s"],
      ["ratio.sqlite.submits_over_base", "sqlite.submits_per_s", "base.sqlite.submits_per_s"],
      ["ratio.sqlite.linear4_p50_over_base", "sqlite.linear4.p50_ms", "base.sqlite.linear4.p50_ms"]
    ].freeze

    FLOORS = {
      "postgres.steps_per_s" => [:>=, 5000], "ratio.postgres.linear4_p50_over_dbos" => [:<=, 0.25],
      "ratio.postgres.task_p50_over_dbos" => [:<=, 0.15], "ratio.postgres.steps_over_dbos" => [:>=, 30],
      "ratio.postgres.steps_over_sidekiq" => [:>=, 1], "ratio.postgres.steps_over_pgmq_rows" => [:>, 1]
    }.freeze

    # @param runs [Array<Hash{String => Numeric}>] the figures of each leg of each round
    # @param missing [Hash{String => String}] why a leg has none
    def initialize(runs, missing)
      @runs = runs
      @missing = missing
    end

    # @return [Hash{String => Numeric}] medians and ratios by their keys
    def figures
      @figures ||= begin
        medians = keys.to_h { |key| [key, median(@runs.filter_map { |run| run[key] })] }
        %w[postgres sqlite].each { |store| best(medians, "dbos.#{store}") }
        medians.merge(ratios(medians))
      end
    end

    def print
      puts
      FIGURES.each { |key, unit, what| row(key, unit, what) }
      puts
      RATIOS.each { |key, of, over| row(key, "", "#{of} / #{over}") }
      @missing.each { |leg, why| puts "", "NOT MEASURED: #{leg}: #{why}" }
    end

    private

    def keys
      @runs.flat_map(&:keys).uniq
    end

    def median(sample)
      sample.sort[sample.size / 2]
    end

    def best(medians, prefix)
      ways = medians.select { |key, _| key.match?(/\A#{Regexp.escape(prefix)}\.\w+\.steps_per_s\z/) }
      medians["#{prefix}.steps_per_s"] = ways.values.max if ways.any?
    end

    def ratios(medians)
      RATIOS.each_with_object({}) do |(key, of, over), found|
        found[key] = medians[of] / medians[over].to_f if medians[of] && medians[over]
      end
    end

    def row(key, unit, what)
      return unless (value = figures[key])

      puts format("%-38s %12.3f %-8s %-52s %s", key, value, unit, what, verdict(key, value)).rstrip
    end

    def verdict(key, value)
      comparison, bound = FLOORS[key]
      return unless comparison

      floor = "(#{comparison} #{bound})"
      value.public_send(comparison, bound) ? "ok #{floor}" : "MISSED #{floor}"
    end
  end
end
