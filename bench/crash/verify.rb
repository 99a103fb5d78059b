# frozen_string_literal: true

require "json"
require "open3"
require_relative "witness"

# Compares the SQLite file with the witness log. Reads with the sqlite3 command, not with the engine that
# is on trial.
class CrashVerdict
  def self.query(database, sql)
    out, said, status = Open3.capture3("sqlite3", "-readonly", "-json", database, ".timeout 10000", sql)
    abort "crash: sqlite3: #{said}" unless status.success?

    out.strip.empty? ? [] : JSON.parse(out)
  rescue Errno::ENOENT
    abort "crash: the sqlite3 command is missing (Debian: apt-get install sqlite3)"
  end

  def initialize(database, witness, tasks, steps_each)
    @database = database
    @tasks = tasks
    @steps_each = steps_each
    @runs = Witness.read(witness).group_by { |run| [run.task_uuid, run.step] }
    @faults = []
  end

  # Prints what was found; true when it is all as it must be.
  def print
    check("the file is whole") { query("PRAGMA integrity_check").first.values == ["ok"] }
    check("every task is there and complete") { query(<<~SQL) == [{ "state" => "complete", "n" => @tasks }] }
      SELECT state, count(*) AS n FROM tasks GROUP BY state
    SQL
    steps = query("SELECT t.task_uuid, s.id, s.position, s.name, s.state, s.attempts, s.result, " \
                  "t.id AS task_id FROM steps s JOIN tasks t ON t.id = s.task_id")
    check("no step is lost") { steps.size == @tasks * @steps_each }
    judge(steps)
    puts(@faults.empty? ? "verdict: nothing lost, nothing made up" : "verdict: #{@faults.size} faults")
    @faults.empty?
  end

  private

  def query(sql)
    self.class.query(@database, sql)
  end

  def judge(steps)
    each_step(steps, "every step is complete") { |step| step["state"] == "complete" }
    each_step(steps, "its result is that of exactly one run") { |step| one_author?(step) }
    each_step(steps, "no attempt was run twice") { |step| runs(step).map(&:attempt).uniq.size == runs(step).size }
    each_step(steps, "the stored result is the last attempt's") { |step| result(step)["attempt"] == step["attempts"] }
    each_step(steps, "no run claims an attempt that was not recorded") do |step|
      runs(step).all? { |run| run.attempt.between?(1, step["attempts"]) }
    end
    each_step(steps, "the history has each attempt once and one completion") { |step| history?(step) }
    tell(steps)
  end

  def one_author?(step)
    stored = result(step)
    authors = runs(step).select { |run| run.nonce == stored["nonce"] }
    authors.size == 1 && authors.first.attempt == stored["attempt"] && authors.first.pid == stored["pid"]
  end

  def history?(step)
    history = histories.fetch([step["task_id"], step["position"]], {})
    history["in_progress"] == step["attempts"] && history["complete"] == 1 &&
      history.fetch("enqueued", 0) == step["attempts"] && history.fetch("error", 0).zero?
  end

  def histories
    @histories ||= begin
      rows = query("SELECT task_id, position, to_state, count(*) AS n FROM step_transitions GROUP BY 1, 2, 3")
      rows.each_with_object({}) do |row, all|
        (all[row.values_at("task_id", "position")] ||= {})[row["to_state"]] = row["n"]
      end
    end
  end

  def runs(step)
    @runs.fetch(step.values_at("task_uuid", "name"), [])
  end

  def result(step)
    JSON.parse(step["result"] || "{}")
  end

  def tell(steps)
    runs = @runs.values.sum(&:size)
    puts format("  %d steps, %d handler runs, %d steps needed more than one attempt, %d attempts died before their " \
                "handler began", steps.size, runs, steps.count { |step| step["attempts"] > 1 },
                steps.sum { |step| step["attempts"] } - runs)
  end

  def each_step(steps, what, &rule)
    bad = steps.reject(&rule)
    check(what, bad.first(3).map { |step| "#{step} with runs #{runs(step).map(&:to_a)}" }) { bad.empty? }
  end

  def check(what, examples = [])
    fine = yield
    puts "  #{fine ? 'yes' : 'NO '}  #{what}"
    examples.each { |example| puts "         #{example}" }
    @faults << what unless fine
  end
end
