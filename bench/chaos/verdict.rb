# frozen_string_literal: true

require_relative "verdict/evidence"
require_relative "verdict/findings"
require_relative "verdict/histories"
require_relative "verdict/steps"
require_relative "verdict/tasks"

module Chaos
  # Compares the store's tables with what handlers and clients wrote down beside it.
  class Verdict
    # @param facts [Hash{String => Boolean}] what is known besides, and must be true
    # @param refused [Integer] completions that workers told they refused
    # @param harmed [Array<Integer>] pids of workers that were killed or stopped
    # @param excuse [Boolean] whether something was done that may cost a living worker its lease
    def initialize(store, ledger, runs, tasks:, facts:, refused:, harmed:, excuse:)
      @store = store
      @evidence = Evidence.new(store, ledger, runs)
      @findings = Findings.new(@evidence)
      @count = tasks
      @facts = facts
      @refused = refused
      @harmed = harmed
      @excuse = excuse
    end

    # Prints what was found; true when it is all as it must be.
    def print
      judge
      @findings.conclude
    rescue StoreFailed => e
      @findings.check("the database can be read (#{e.message.lines.first&.chomp})") { false }
      @findings.conclude
    end

    private

    def judge
      @facts.each { |what, fine| @findings.check(what) { fine } }
      @findings.check("the database is whole") { @store.whole? }
      Tasks.new(@evidence, @findings, @count).judge
      Steps.new(@evidence, @findings, @count).judge
      histories = Histories.new(@evidence, @findings)
      histories.judge
      judge_leases(histories.taken_from_the_living(@harmed))
      judge_rest
      tell
    end

    def judge_leases(taken)
      what = "no worker that was neither killed nor stopped lost its lease"
      return puts("  ---  #{what}: #{taken} attempts, but something was done that excuses it") if @excuse

      @findings.check("#{what} (#{taken} attempts)") { taken.zero? }
    end

    def judge_rest
      workers = @store.rows("SELECT count(*) AS n FROM #{@store.table('workers')}").first["n"]
      left = { "workers" => workers }.merge(@store.leftovers)
      @findings.check("nothing is left of #{left.keys.join(', ')}", [left]) { left.values.sum.zero? }
      @findings.check("attempts that were taken back were refused, and counted") { @refused.positive? } if @excuse
    end

    def tell
      reasons = @evidence.step_transitions.values.flatten.filter_map { |row| row["reason"] }.tally
      again = @evidence.steps.count { |step| step["attempts"] > 1 }
      states = [@evidence.tasks, @evidence.steps].map { |rows| rows.map { |row| row["state"] }.tally }
      puts "  tasks: #{states.first}; steps: #{states.last}",
           "  #{@evidence.run_count} handler runs, #{again} steps needed more than one attempt, reasons of moves: " \
           "#{reasons.map { |reason, count| "#{count} #{reason}" }.join(', ')}",
           "  at least #{@refused} stale completions were refused"
    end
  end
end
