# frozen_string_literal: true

module Verify
  # Prints what was expected beside what came, and remembers whether all was right.
  class Table
    def initialize
      @wrong = []
    end

    def section(title)
      puts "", title
    end

    def same(what, expected, received)
      row(what, expected, received, expected == received)
    end

    def row(what, expected, received, right)
      @wrong << what unless right
      puts format("  %-72.72s %12s %12s  %s", what, expected, received, right ? "ok" : "WRONG")
      right
    end

    def good?
      puts "", @wrong.empty? ? "All as it should be." : "Wrong: #{@wrong.join('; ')}"
      @wrong.empty?
    end
  end
end
