# frozen_string_literal: true

module Chaos
  # What was looked at, and what was wrong with it: printed as it is found.
  class Findings
    EXAMPLES = 3

    def initialize(evidence)
      @evidence = evidence
      @faults = []
    end

    # That a rule holds for all rows.
    def all_of(rows, what, &rule)
      bad = rows.reject(&rule)
      examples = bad.first(EXAMPLES).map { |row| describe(row) }
      examples.unshift("#{bad.size} of #{rows.size}") if bad.any?
      check(what, examples) { bad.empty? }
    end

    def check(what, examples = [])
      fine = yield
      puts "  #{fine ? 'yes' : 'NO '}  #{what}"
      examples.each { |example| puts "         #{example}" } unless fine
      @faults << what unless fine
    end

    # @return [Boolean] whether nothing was wrong
    def conclude
      puts(@faults.empty? ? "verdict: nothing lost, nothing made up" : "verdict: #{@faults.size} faults")
      @faults.empty?
    end

    private

    # All of it is in the database, which is kept.
    def describe(row)
      return row.map { |step| step.slice("number", "name", "state", "attempts") }.to_s if row.is_a?(Array)
      return row.to_s unless row.key?("name")

      moves = @evidence.history(row).map do |move|
        attempt = "attempt #{move['attempt']}" if move["attempt"]
        [move["to_state"], move["reason"], attempt, move["worker"]].compact.join(" ")
      end
      "#{row.except('error')}, #{row.dig('error', 'class')}, runs #{@evidence.runs(row).map(&:to_a)}, " \
        "moves: #{moves.join('; ')}"
    end
  end
end
