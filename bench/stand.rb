# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
# Benchmarks may run beside each other and beside an application.
ENV["TASKER_WEB_PORT"] ||= "0"
require "tasker_core"

# The stand every benchmark runs on: a SQLite file with synchronous=FULL in a folder of its own on the
# checkout's disk, or the empty PostgreSQL database of BENCH_DATABASE_URL; a linear no-op template, a worker.
# A benchmark is a process of its own and prints its figures as one line of JSON.
module Stand
  CONCURRENCY = 10
  FOLDER = File.expand_path("../tmp/bench", __dir__)
  POSTGRES = ENV.fetch("BENCH_DATABASE_URL", nil)

  class NoOp < TaskerCore::StepHandler
    def call(_step); end
  end

  class << self
    # Gives the block a fresh database, and prints what it returns.
    def measure
      FileUtils.mkdir_p(FOLDER)
      Dir.mktmpdir("run", FOLDER) do |folder|
        configure(POSTGRES || File.join(folder, "tasker.sqlite3"))
        figures = yield
        TaskerCore.shutdown
        puts JSON.generate(figures)
      end
    end

    def configure(database)
      TaskerCore.configure do |config|
        config.database = database
        config.synchronous = :full
        config.concurrency = CONCURRENCY
        config.template_paths = []
        durable(config, ENV.fetch("DURABILITY", nil))
      end
    end

    # What the figures' keys begin with.
    def store
      POSTGRES ? "postgres" : "sqlite"
    end

    def linear(steps, handler: NoOp)
      TaskerCore.template("linear#{steps}", namespace: "bench") do
        steps.times do |index|
          step "step_#{index}", handler: handler, depends_on: index.zero? ? [] : "step_#{index - 1}"
        end
      end
    end

    # Submits many tasks in batches; returns them.
    def fill(tasks, name)
      Array.new(tasks) { |number| { name: name, namespace: "bench", context: { number: number } } }
           .each_slice(1000).flat_map { |batch| TaskerCore.submit_all(batch) }
    end

    # Starts the worker on what is queued; seconds to the last task's end, as the engine counts them.
    def drain(tasks)
      goal = total(:tasks_finalized) + tasks.size
      began = now
      TaskerCore::Worker.start(concurrency: CONCURRENCY)
      sleep 0.002 until total(:tasks_finalized) >= goal
      took = now - began
      unfinished = tasks.reject(&:complete?)
      abort "bench: #{unfinished.size} tasks are not complete, e.g. #{unfinished.first.inspect}" if unfinished.any?
      took
    end

    # Steps a second that the running worker settles, watched for some seconds, less if it runs out of work.
    def pace(seconds, steps)
      settled = total(:steps_settled)
      began = now
      sleep 0.01 until now - began >= seconds || total(:steps_settled) - settled >= steps
      (total(:steps_settled) - settled) / (now - began)
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # The value below which `share` (0..1) of the sample is.
    def percentile(sample, share)
      sorted = sample.sort
      sorted.fetch([(sorted.size * share).ceil - 1, 0].max)
    end

    def median(sample)
      percentile(sample, 0.5)
    end

    # Resident memory of this process in MB (Linux; 0.0 elsewhere).
    def resident_mb
      status = "/proc/self/status"
      File.exist?(status) ? File.read(status)[/^VmRSS:\s+(\d+)/, 1].to_i / 1024.0 : 0.0
    end

    private

    def durable(config, durability)
      return unless durability

      abort "bench: Error: tasker_core has no setting durability yet" unless config.respond_to?(:durability=)
      config.durability = durability.to_sym
    end

    def total(name)
      TaskerCore.status[:totals][name]
    end
  end
end
