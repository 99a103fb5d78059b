# frozen_string_literal: true

require "json"
require "open3"
require_relative "store_failed"

module Chaos
  # One SQLite file that all processes share. Read with the sqlite3 command, not with the engine that is on trial.
  class SqliteStore
    def initialize(folder)
      @path = File.join(folder, "tasker.sqlite3")
    end

    def name
      "SQLite"
    end

    # @return [Hash{String => String}] how a process finds it
    def env
      { "TASKER_DATABASE" => @path }
    end

    # Nothing can be done to a file that the library promises to survive.
    def faults
      []
    end

    def outages
      {}
    end

    def calm; end

    def table(name)
      name
    end

    # @return [String] an expression: seconds until that moment
    def seconds_until(column)
      "#{column} / 1e6 - (julianday('now') - 2440587.5) * 86400"
    end

    # @raise [StoreFailed]
    def rows(sql)
      out, said, status = Open3.capture3("sqlite3", "-readonly", "-json", @path, ".timeout 20000", sql)
      raise StoreFailed, said.strip unless status.success?

      out.strip.empty? ? [] : JSON.parse(out)
    rescue Errno::ENOENT
      abort "chaos: the sqlite3 command is missing (Debian: apt-get install sqlite3)"
    end

    def leftovers
      {}
    end

    def whole?
      rows("PRAGMA integrity_check").first.values == ["ok"]
    rescue StoreFailed
      false
    end

    def to_s
      "SQLite: #{File.size(@path) / 1_048_576} MB"
    end

    def hint
      "sqlite3 #{@path}"
    end

    def stop; end
    def remove; end
  end
end
