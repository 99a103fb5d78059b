# frozen_string_literal: true

module Chaos
  class Verdict
    # Judges tasks, and what clients were told of them.
    class Tasks
      ENDS = %w[complete error cancelled resolved_manually].freeze

      def initialize(evidence, findings, count)
        @evidence = evidence
        @findings = findings
        @count = count
      end

      def judge
        judge_submissions
        judge_operators
        judge_ends
      end

      private

      def judge_submissions
        numbers = tasks.map { |task| task["number"] }
        @findings.check("each submission is exactly one task") { numbers.sort == (1..@count).to_a }
        @findings.check("a key names one task, whoever asks") { acknowledged.values.all?(&:one?) }
        stored = tasks.to_h { |task| [task["number"], task["task_uuid"]] }
        lost = acknowledged.reject { |number, uuids| uuids == [stored[number]] }
        @findings.check("all that was acknowledged is there", lost.first(3)) { lost.empty? }
        strange = @evidence.run_tasks - stored.values
        @findings.check("handlers were given no other tasks", strange.first(3)) { strange.empty? }
      end

      def judge_operators
        asked = tasks.select { |task| Work.remedy(task["number"]) }
        @findings.all_of(asked, "every operator was told one outcome, and it is the one that stayed") do |task|
          outcomes(task) == [task["state"]]
        end
      end

      def judge_ends
        @findings.all_of(tasks, "every task is at its right end") do |task|
          task["state"] == Work.task_state(task["number"], outcomes(task).first)
        end
        @findings.all_of(tasks, "every task ended as often as it should") do |task|
          ends = @evidence.task_transitions.fetch(task["id"], []).map { |move| move["to_state"] } & ENDS
          remedied = %i[rerun resolve_step resolve_task].include?(Work.remedy(task["number"]))
          ends == (remedied ? ["error", task["state"]] : [task["state"]]) && once?(task, ends)
        end
      end

      def once?(task, ends)
        moves = @evidence.task_transitions[task["id"]].map { |move| move["to_state"] }
        ends.all? { |state| moves.count(state) == 1 }
      end

      def outcomes(task)
        @evidence.outcomes(task["number"])
      end

      def tasks
        @evidence.tasks
      end

      def acknowledged
        @evidence.acknowledged
      end
    end
  end
end
