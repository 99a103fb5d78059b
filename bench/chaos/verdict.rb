# frozen_string_literal: true

require "json"
require_relative "../crash/witness"
require_relative "work"

# Compares PostgreSQL's tables with the witness log. Reads with psql, not with the engine that is on trial.
class ChaosVerdict
  # @param server [#rows]
  # @param refused [Integer] completions that workers told they refused
  def initialize(server, witness, tasks, refused)
    @server = server
    @count = tasks
    @refused = refused
    @runs = Witness.read(witness).group_by { |run| [run.task_uuid, run.step] }
    @faults = []
  end

  # Prints what was found; true when it is all as it must be.
  def print
    judge_tasks
    judge_steps
    judge_rest
    tell
    puts(@faults.empty? ? "verdict: nothing lost, nothing made up" : "verdict: #{@faults.size} faults")
    @faults.empty?
  end

  private

  def rows(sql)
    @server.rows(sql)
  end

  def tasks
    @tasks ||= rows("SELECT id, task_uuid, state, idempotency_key FROM tasker.tasks").each do |task|
      task["number"] = Work.number(task["idempotency_key"])
    end
  end

  def steps
    @steps ||= begin
      owners = tasks.to_h { |task| [task["id"], task] }
      rows("SELECT task_id, position, name, state, attempts, result, error FROM tasker.steps").each do |step|
        step.merge!(owners.fetch(step["task_id"]).slice("task_uuid", "number"))
        step["result"] = JSON.parse(step["result"]) if step["result"].is_a?(String)
      end
    end
  end

  def judge_tasks
    check("each submission is exactly one task") { tasks.map { |task| task["number"] }.sort == (1..@count).to_a }
    all_of(tasks, "every task is at its right end") { |task| task["state"] == Work.task_state(task["number"]) }
    ends = rows("SELECT task_id, count(*) AS n FROM tasker.task_transitions " \
                "WHERE to_state IN ('complete', 'error', 'cancelled', 'resolved_manually') GROUP BY task_id")
    check("every task ended once") { ends.size == @count && ends.all? { |row| row["n"] == 1 } }
  end

  def judge_steps
    check("no step is lost") { steps.size == @count * Work::STEPS.size }
    all_of(steps, "every step is in its right state") { |step| step["state"] == right_state(step) }
    done, others = steps.partition { |step| step["state"] == "complete" }
    judge_results(done)
    all_of(others, "steps that are not complete have no result") { |step| step["result"].nil? }
    judge_runs
    judge_failures(others)
  end

  def judge_results(done)
    all_of(done, "its result is that of exactly one run") { |step| one_author?(step) }
    all_of(done, "the stored result is the last attempt's") { |step| step["result"]["attempt"] == step["attempts"] }
    all_of(done, "it was completed once, by that attempt and that worker") { |step| completed_once?(step) }
    all_of(done, "it was given the stored result of the step before") { |step| step["result"]["after"] == before(step) }
  end

  def judge_runs
    all_of(steps, "no attempt was run twice") { |step| runs(step).map(&:attempt).uniq.size == runs(step).size }
    all_of(steps, "no run claims an attempt that was not recorded") do |step|
      runs(step).all? { |run| run.attempt.between?(1, step["attempts"]) }
    end
    retried = steps.select { |step| step["name"] == "second" && Work.retries?(step["number"]) }
    all_of(retried, "who must retry did") { |step| step["attempts"] > 2 }
  end

  def judge_failures(others)
    failed, pending = others.partition { |step| step["name"] == "third" }
    all_of(failed, "who failed says PermanentError") { |step| JSON.generate(step["error"]).include?("PermanentError") }
    all_of(pending, "what comes after a failure never began") { |step| step["attempts"].zero? && runs(step).empty? }
  end

  def judge_rest
    queues = rows("SELECT table_name FROM information_schema.tables " \
                  "WHERE table_schema = 'pgmq' AND table_name LIKE 'q\\_%\\_steps'").map { |row| row["table_name"] }
    left = queues.to_h { |queue| [queue, rows("SELECT count(*) AS n FROM pgmq.\"#{queue}\"").first["n"]] }
    check("no message is left in #{queues.join(', ')}", [left]) { left.any? && left.values.sum.zero? }
    check("stale completions were refused, and counted") { @refused.positive? }
  end

  def right_state(step)
    Work.step_states(step["number"])[Work::STEPS.index(step["name"])]
  end

  def one_author?(step)
    authors = runs(step).select { |run| run.nonce == step["result"]["nonce"] }
    authors.size == 1 && authors.first.attempt == step["result"]["attempt"] &&
      authors.first.pid == step["result"]["pid"]
  end

  def completed_once?(step)
    completions = completions_by_step.fetch(step.values_at("task_id", "position"), [])
    completions.size == 1 && completions.first["attempt"].to_i == step["attempts"] &&
      completions.first["worker"].to_s.include?("-#{step['result']['pid']}-")
  end

  def completions_by_step
    @completions_by_step ||=
      rows("SELECT task_id, position, metadata->>'attempt' AS attempt, metadata->>'worker' AS worker " \
           "FROM tasker.step_transitions WHERE to_state = 'complete'")
      .group_by { |row| row.values_at("task_id", "position") }
  end

  def before(step)
    position = Work::STEPS.index(step["name"])
    return if position.zero?

    @nonces ||= steps.to_h { |one| [one.values_at("task_id", "name"), one["result"]&.fetch("nonce")] }
    @nonces[[step["task_id"], Work::STEPS[position - 1]]]
  end

  def runs(step)
    @runs.fetch(step.values_at("task_uuid", "name"), [])
  end

  def tell
    reasons = rows("SELECT coalesce(metadata->>'reason', 'none') AS reason, count(*) AS n " \
                   "FROM tasker.step_transitions WHERE to_state = 'enqueued' AND from_state = 'in_progress' GROUP BY 1")
    told = reasons.map { |row| "#{row['n']} #{row['reason']}" }
    puts "  tasks: #{tasks.map { |task| task['state'] }.tally}; steps: #{steps.map { |step| step['state'] }.tally}"
    again = steps.count { |step| step["attempts"] > 1 }
    puts "  #{@runs.values.sum(&:size)} handler runs, #{again} steps needed more than one attempt, attempts taken " \
         "back: #{told.empty? ? 'none' : told.join(', ')}"
    puts "  at least #{@refused} stale completions were refused"
  end

  def all_of(rows, what, &rule)
    bad = rows.reject(&rule)
    examples = bad.first(3).map { |row| row.key?("name") ? "#{row} with runs #{runs(row).map(&:to_a)}" : row.to_s }
    examples.unshift("#{bad.size} of #{rows.size}") if bad.any?
    check(what, examples) { bad.empty? }
  end

  def check(what, examples = [])
    fine = yield
    puts "  #{fine ? 'yes' : 'NO '}  #{what}"
    examples.each { |example| puts "         #{example}" } unless fine
    @faults << what unless fine
  end
end
