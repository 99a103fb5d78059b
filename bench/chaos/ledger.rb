# frozen_string_literal: true

require "fileutils"

module Chaos
  # What clients were told, beside the store: lines that are appended once an answer has come, whatever becomes of the
  # client then.
  class Ledger
    def initialize(folder)
      @folder = folder
      %w[acknowledged outcomes].each { |name| FileUtils.touch(path(name)) }
      FileUtils.mkdir_p(path("cured"))
    end

    # @param tasks [Hash{Integer => String}] task_uuid by number
    def acknowledge(tasks)
      append("acknowledged", tasks.map { |number, uuid| "#{number} #{uuid}\n" }.join)
    end

    # @return [Hash{Integer => Array<String>}] the task_uuids that were told for each number
    def acknowledged
      read("acknowledged")
    end

    # The state a task was in when what the operator wanted was done, or could not be done any more.
    def outcome(number, state)
      append("outcomes", "#{number} #{state}\n")
    end

    # @return [Hash{Integer => Array<String>}] states
    def outcomes
      read("outcomes")
    end

    # From now on the task does not fail.
    def cure(number)
      FileUtils.touch(File.join(path("cured"), number.to_s))
    end

    def cured?(number)
      File.exist?(File.join(path("cured"), number.to_s))
    end

    private

    def append(name, lines)
      File.open(path(name), File::WRONLY | File::APPEND) { |file| file.syswrite(lines) }
    end

    def read(name)
      File.readlines(path(name), chomp: true).map(&:split).group_by { |number, _| Integer(number) }
          .transform_values { |rows| rows.map(&:last).uniq }
    end

    def path(name)
      File.join(@folder, name)
    end
  end
end
