# frozen_string_literal: true

module Chaos
  class Verdict
    # Judges steps: their states, results, attempts and errors, by what the handlers wrote down.
    class Steps
      def initialize(evidence, findings, count)
        @evidence = evidence
        @findings = findings
        @count = count
      end

      def judge
        @findings.check("no step is lost") { steps.size == @count * Work::STEPS.size }
        judge_states
        done = steps.select { |step| step["state"] == "complete" }
        judge_results(done)
        judge_resolved
        judge_runs
        judge_retries
        judge_failures
      end

      private

      def judge_states
        by_task = steps.group_by { |step| step["number"] }
        @findings.all_of(by_task.values, "every step is in its right state") do |some|
          number = some.first["number"]
          Work.right_steps?(number, @evidence.outcomes(number).first, ordered(some).map { |step| step["state"] })
        end
      end

      def judge_results(done)
        all_of(done, "its result is that of exactly one run") { |step| one_author?(step) }
        all_of(done, "the stored result is the last attempt's") { |step| result(step)["attempt"] == step["attempts"] }
        all_of(done, "it was completed once, by that attempt and that worker") { |step| completed_once?(step) }
        all_of(done, "it was given the stored result of the step before") do |step|
          result(step)["after"] == before(step)
        end
        others = steps.reject { |step| %w[complete resolved_manually].include?(step["state"]) }
        all_of(others, "steps that are not complete have no result") { |step| step["result"].nil? }
      end

      def judge_resolved
        resolved = steps.select { |step| step["state"] == "resolved_manually" }
        all_of(resolved, "what an operator resolved has the operator's result") do |step|
          step["result"] == { "nonce" => Work.operators_nonce(step["number"]) }
        end
      end

      def judge_runs
        all_of(steps, "no attempt was run twice") { |step| runs(step).map(&:attempt).uniq.size == runs(step).size }
        all_of(steps, "every run is an attempt that was recorded, of that worker") do |step|
          runs(step).all? { |run| run.attempt.between?(1, step["attempts"]) && claimed?(step, run) }
        end
      end

      def judge_retries
        retried = steps.select { |step| step["name"] == "second" && Work.retries?(step["number"]) }
        all_of(retried, "who must retry did") { |step| step["attempts"] > 2 }
        rerun = steps.select { |step| step["name"] == "third" && Work.remedy(step["number"]) == :rerun }
        all_of(rerun, "who was rerun had another attempt") { |step| step["attempts"] > 1 }
      end

      def judge_failures
        failed = steps.select { |step| step["state"] == "error" }
        all_of(failed, "who failed says PermanentError") { |step| step["error"].to_s.include?("PermanentError") }
        pending = steps.select { |step| step["state"] == "pending" }
        all_of(pending, "what comes after a failure never began") { |step| step["attempts"].zero? && runs(step).empty? }
      end

      def one_author?(step)
        authors = runs(step).select { |run| run.nonce == result(step)["nonce"] }
        authors.size == 1 && authors.first.attempt == result(step)["attempt"] &&
          authors.first.pid == result(step)["pid"]
      end

      def completed_once?(step)
        completions = @evidence.history(step).select { |move| move["to_state"] == "complete" }
        completions.size == 1 && completions.first["attempt"].to_i == step["attempts"] &&
          of?(completions.first, result(step)["pid"])
      end

      def claimed?(step, run)
        @evidence.history(step).any? do |move|
          move["to_state"] == "in_progress" && move["attempt"].to_i == run.attempt && of?(move, run.pid)
        end
      end

      # A worker's name has its pid in it.
      def of?(move, pid)
        move["worker"].to_s.include?("-#{pid}-")
      end

      def before(step)
        position = Work::STEPS.index(step["name"])
        return if position.zero?

        @nonces ||= steps.to_h { |one| [one.values_at("task_id", "name"), result(one)["nonce"]] }
        @nonces[[step["task_id"], Work::STEPS[position - 1]]]
      end

      def ordered(some)
        some.sort_by { |step| Work::STEPS.index(step["name"]) }
      end

      def all_of(rows, what, &rule)
        @findings.all_of(rows, what, &rule)
      end

      def result(step)
        step["result"] || {}
      end

      def runs(step)
        @evidence.runs(step)
      end

      def steps
        @evidence.steps
      end
    end
  end
end
