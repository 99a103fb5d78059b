# frozen_string_literal: true

require "fileutils"
require "json"
require "open3"
require "tmpdir"
require_relative "../psql"
require_relative "install"
require_relative "redis"

module Peers
  # What is measured, a leg each: a process of its own on an empty database of its own, which prints figures. A leg
  # returns them by their keys, and raises Missing where it cannot run.
  class Legs
    ROOT = Install::ROOT
    FOLDER = File.join(ROOT, "tmp/peers")
    # How a DBOS application may run many workflows; its best one counts.
    DBOS_WAYS = %w[queue threads start coroutines].freeze
    SECONDS = 300

    # @return [Array<Array(String, Method)>] in the order of a round: ours between the peers
    def all
      [["dbos on PostgreSQL", method(:dbos_postgres)], ["ours on PostgreSQL", method(:postgres)],
       ["ours on PostgreSQL, durability :task", method(:postgres_task)],
       ["pgmq row at a time", method(:pgmq_rows)], ["dbos on SQLite", method(:dbos_sqlite)],
       ["ours on SQLite", method(:sqlite)], *base, ["Sidekiq on Redis", method(:sidekiq)]]
    end

    def initialize(postgres)
      @postgres = postgres
      FileUtils.mkdir_p(FOLDER)
    end

    def postgres
      [["linear4", latencies], ["throughput", tasks]].reduce({}) do |figures, (name, count)|
        Psql.with_database(@postgres) { |url| figures.merge(ours(name, count, env: { "BENCH_DATABASE_URL" => url })) }
      end
    end

    # What is acknowledged is on the disk, and so is a task's end; what is in between may run again.
    def postgres_task
      Psql.with_database(@postgres) do |url|
        figures = ours("linear4", latencies, env: { "BENCH_DATABASE_URL" => url, "DURABILITY" => "task" })
        figures.transform_keys { |key| key.sub("postgres.", "postgres.task.") }
      end
    end

    def sqlite
      ours("linear4", latencies).merge(ours("throughput", tasks))
    end

    def dbos_postgres
      dbos("postgres") { |&run| Psql.with_database(@postgres, &run) }
    end

    def dbos_sqlite
      dbos("sqlite") do |&run|
        Dir.mktmpdir("dbos", FOLDER) { |folder| run.call("sqlite:///#{folder}/dbos.sqlite") }
      end
    end

    def sidekiq
      Install.gem("sidekiq", "ruby-sidekiq")
      Redis.open(FOLDER) do |url|
        figures = run("sidekiq", [RbConfig.ruby, script("sidekiq_peer.rb"), count("JOBS", 50_000)], "REDIS_URL" => url)
        figures.transform_keys { |key| "sidekiq.#{key}" }
      end
    end

    def pgmq_rows
      Install.gem("pg", "ruby-pg")
      pgmq = Install.pgmq_sql
      Psql.with_database(@postgres) do |url|
        figures = run("pgmq_rows", [RbConfig.ruby, script("pgmq_rows.rb"), url, pgmq, count("ROWS_TASKS", 1500)])
        figures.transform_keys { |key| "pgmq_rows.#{key}" }
      end
    end

    private

    def ours(name, count, env: {}, root: ROOT)
      command = [RbConfig.ruby, "-I#{File.join(root, 'lib')}", File.join(ROOT, "bench/#{name}.rb")]
      run("ours_#{name}", command, { "BENCH_DATABASE_URL" => nil, "DURABILITY" => nil, "TASKS" => count, **env })
    end

    # Another checkout's library, under the benchmarks of this one.
    def base
      root = ENV.fetch("BASE", "")
      return [] if root.empty?

      abort "peers: BASE: there is no #{root}/lib/tasker_core" unless File.directory?("#{root}/lib/tasker_core")
      [["BASE on SQLite", -> { base_sqlite(root) }]]
    end

    def base_sqlite(root)
      figures = [["linear4", latencies], ["throughput", tasks]].map { |name, count| ours(name, count, root: root) }
      figures.reduce(:merge).transform_keys { |key| "base.#{key}" }
    end

    def dbos(store, &database)
      python = Install.dbos
      figures = { "dbos.#{store}.linear4" => ["linear4", count("DBOS_LATENCIES", 200)] }
      DBOS_WAYS.each { |way| figures["dbos.#{store}.#{way}"] = [way, count("DBOS_TASKS", 300)] }
      figures.each_with_object({}) do |(key, (mode, number)), found|
        database.call do |url|
          measured = run("dbos", [python, script("dbos_peer.py"), url, mode, number])
          found.merge!(measured.transform_keys { |name| "#{key}.#{name}" })
        end
      end
    end

    # The last line of its output; what else it says is in its log.
    def run(name, command, env = {})
      log = File.join(FOLDER, "#{name}.log")
      out, status = Open3.capture2(env, "timeout", SECONDS.to_s, *command, err: log)
      return JSON.parse(out.lines.last) if status.success?

      said = File.readlines(log, chomp: true).reject(&:empty?)
      why = said.grep(/Error|ERROR/).last || said.last || "status #{status.exitstatus}"
      raise Missing, "failed: #{why} (#{log})"
    end

    def script(name)
      File.join(ROOT, "bench/peers", name)
    end

    def tasks
      count("TASKS", 10_000)
    end

    def latencies
      count("LATENCIES", 1000)
    end

    def count(name, default)
      Integer(ENV.fetch(name, default.to_s)).to_s
    end
  end
end
