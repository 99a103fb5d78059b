# frozen_string_literal: true

require "json"

module Verify
  # Owns: what goes wrong, and that it is mended again: each method calls `trial.fires` while its cause lasts. One whose
  # alert is told of a worker that leaves in the end calls `trial.resolves` while that worker is there. Refuses: metrics
  # that no worker has written: all of this happens to real processes.
  class Causes
    # How many kinds of tasks, and so of series, make /metrics long: the most that get series of their own.
    KINDS = 200
    SCRAPERS = 3
    UNDONE = "SELECT count(*) FROM tasker.tasks WHERE namespace = 'odd' AND state <> 'complete'"
    RUNNING = "SELECT count(*) FROM tasker.steps WHERE state = 'in_progress' AND worker_id LIKE '%%-%d-%%'"
    # Somebody else's transaction, again and again: what waits for the lock has its turn in between.
    LOCK = "BEGIN; LOCK TABLE tasker.tasks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.7); COMMIT;\n"
    UNREADABLE = "CREATE TABLE kept AS SELECT id, document FROM tasker.templates WHERE namespace = 'odd'; " \
                 "UPDATE tasker.templates SET document = 'nonsense' WHERE namespace = 'odd'"
    READABLE = "UPDATE tasker.templates t SET document = kept.document FROM kept WHERE kept.id = t.id; DROP TABLE kept"

    def initialize(stand)
      @stand = stand
    end

    def slow_tasks(trial)
      every(2, trial) { submit(4, "act", ms: 1500) }
    end

    def failing_tasks(trial)
      every(1, trial) { submit(3, "act", fail: true) }
    end

    # Two of four threads compute, and keep the interpreter.
    def greedy_handlers(trial)
      every(1, trial) { submit(2, "act", spin: 0.9) }
    end

    def locked_tables(trial)
      @stand.worker.ask("trickle 5")
      every(0, trial) { @stand.sql(LOCK * 3) }
    ensure
      @stand.worker.ask("trickle 100")
    end

    def crowd_of_scrapers(trial)
      @stand.with("crowded", ":memory:") do |worker, url|
        worker.ask("many #{KINDS}")
        scrapers = Array.new(SCRAPERS) { Thread.new { loop { Services.get("#{url}/metrics") } } }
        trial.fires
        scrapers.each(&:kill).each(&:join)
        trial.resolves
      end
    end

    def refusing_collector(trial)
      @stand.sink.answer = "503 Service Unavailable"
      trial.fires
    ensure
      @stand.sink.answer = "200 OK"
    end

    # As one that a newer version wrote. It is tried again each minute, and carried out when it can be read.
    def unreadable_task(trial)
      submit(1, "odd/act", ms: 1)
      @stand.sql(UNREADABLE)
      @stand.with("odd") do
        trial.fires
        @stand.sql(READABLE)
        Services.patiently("the task is carried out", 90) { @stand.sql(UNDONE) == "0" }
        trial.resolves
      end
    end

    # It stands still for longer than its lease, another worker takes over, and its results come too late.
    def stopped_worker(trial)
      @stand.worker.ask("trickle 0")
      submit(4, "act", hold: true)
      await_running(@stand.worker, 4)
      @stand.with("calm") do |other,|
        Process.kill("STOP", @stand.worker.pid)
        await_running(other, 4)
        Process.kill("CONT", @stand.worker.pid)
        [@stand.worker, other].each { |worker| worker.ask("release") }
        trial.fires
        @stand.worker.ask("trickle 100")
        trial.resolves
      end
    end

    def stopped_database(trial)
      @stand.stop_database
      trial.fires
    ensure
      @stand.start_database
    end

    def hanging_handlers(trial)
      submit(4, "act", hold: true)
      trial.fires
    ensure
      @stand.worker.ask("release")
    end

    def killed_worker(trial)
      @stand.worker.kill
      trial.fires
    ensure
      @stand.begin
    end

    private

    def submit(count, task, input)
      @stand.worker.ask("submit #{count} #{task} #{JSON.generate(input)}")
    end

    # Does something again and again until the alerts have fired.
    def every(seconds, trial)
      over = false
      again = Thread.new do
        until over
          yield
          sleep seconds
        end
      end
      trial.fires
    ensure
      over = true
      again.join
    end

    def await_running(worker, count)
      Services.patiently("#{count} steps run") { @stand.sql(format(RUNNING, worker.pid)).to_i >= count }
    end
  end
end
