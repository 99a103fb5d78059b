# frozen_string_literal: true

module Chaos
  class Verdict
    # Judges the transitions: chains without gaps, of moves that docs/internals/state_machines.md allows, that end where
    # the row stands, with each attempt in them.
    class Histories
      DOCUMENT = File.expand_path("../../../docs/internals/state_machines.md", __dir__)

      def initialize(evidence, findings)
        @evidence = evidence
        @findings = findings
      end

      def judge
        judge_chains("task", @evidence.tasks) { |task| @evidence.task_transitions.fetch(task["id"], []) }
        judge_chains("step", @evidence.steps) { |step| @evidence.history(step) }
        @findings.all_of(@evidence.steps, "a step's history has each of its attempts") { |step| attempts?(step) }
        @findings.all_of(@evidence.steps, "no attempt timed out: none took a minute") do |step|
          @evidence.history(step).none? { |move| move["reason"] == "timeout" }
        end
      end

      # @param harmed [Array<Integer>] pids
      # @return [Integer] attempts whose lease ran out though their worker lived and was not stopped
      def taken_from_the_living(harmed)
        @evidence.step_transitions.each_value.sum do |moves|
          moves.each_cons(2).count do |claim, move|
            move["reason"] == "lease_expired" && !harmed.include?(claim["worker"].to_s[/-(\d+)-\h+\z/, 1].to_i)
          end
        end
      end

      private

      def judge_chains(kind, rows, &history)
        allowed = moves(kind)
        @findings.all_of(rows, "every #{kind}'s history has no gap") { |row| gapless?(history.call(row)) }
        @findings.all_of(rows, "and ends where the #{kind} stands") do |row|
          row["state"] == (history.call(row).last&.fetch("to_state") || "pending")
        end
        @findings.all_of(rows, "and has only moves that are allowed") do |row|
          history.call(row).all? { |move| allowed.include?(move.values_at("from_state", "to_state")) }
        end
      end

      def gapless?(history)
        history.map { |move| move["sort_key"] } == (1..history.size).to_a &&
          ["pending", *history.map { |move| move["to_state"] }][0...history.size] ==
            history.map { |move| move["from_state"] }
      end

      # One that was given back before its handler began is not counted: its number comes again.
      def attempts?(step)
        claims = @evidence.history(step).select { |move| move["to_state"] == "in_progress" }
        numbers = claims.map { |move| move["attempt"].to_i }
        numbers.each_cons(2).all? { |one, other| [one, one + 1].include?(other) } &&
          numbers.first.to_i <= 1 && step["attempts"].between?([numbers.last.to_i - 1, 0].max, numbers.last.to_i)
      end

      # The arrows of the diagram: from and to.
      def moves(kind)
        section = File.read(DOCUMENT)[/^## #{kind.capitalize}$.*?(?=^## |\z)/m]
        section.scan(/^  (\w+) --> (\w+)$/)
      end
    end
  end
end
