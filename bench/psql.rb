# frozen_string_literal: true

require "json"
require "open3"
require "uri"

# Asks PostgreSQL by the psql command: not through the engine that is on trial.
module Psql
  class Failed < StandardError; end

  class << self
    # @return [Array<Hash>] the rows of a SELECT
    def rows(url, sql)
      text = run(url, "SELECT row_to_json(answer) FROM (#{sql.strip.chomp(';')}) answer")
      text.each_line.map { |row| JSON.parse(row) }
    end

    # @return [Object] the first column of the first row
    def value(url, sql)
      rows(url, sql).first&.values&.first
    end

    # @return [String] what psql prints for any statements
    def run(url, sql)
      command = %w[psql --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1] + [url]
      out, said, status = Open3.capture3({ "PGCONNECT_TIMEOUT" => "5" }, *command, stdin_data: sql)
      raise Failed, said.strip unless status.success?

      out
    rescue Errno::ENOENT
      abort "the psql command is missing (Debian: apt-get install postgresql-client)"
    end

    # Makes an empty database beside that of the URL; gives its URL to the block and drops it after.
    def with_database(url)
      name = "bench_#{Process.pid}_#{@databases = @databases.to_i + 1}"
      run(url, "CREATE DATABASE #{name}")
      yield URI(url).tap { |address| address.path = "/#{name}" }.to_s
    ensure
      run(url, "DROP DATABASE IF EXISTS #{name} WITH (FORCE)")
    end
  end
end
