# frozen_string_literal: true

require "open3"
require_relative "../psql"

# The PostgreSQL of bench/chaos.rb, through bin/postgres: what may be done to it while work goes on.
class Server
  COMMAND = File.expand_path("../../bin/postgres", __dir__)

  attr_reader :url, :folder, :terminated

  def initialize
    @folder = said("folder")
    @url = said("start", @folder)
    @terminated = 0
  end

  def restart
    said("restart", @folder)
  end

  def kill
    said("kill", @folder)
    said("start", @folder)
  end

  # Cuts some of the connections that are open.
  def cut(count)
    cut = rows(<<~SQL)
      SELECT pg_terminate_backend(pid) FROM
        (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
          ORDER BY random() LIMIT #{count}) unlucky
    SQL
    @terminated += cut.size
  rescue Psql::Failed
    nil
  end

  def rows(sql)
    Psql.rows(@url, sql)
  end

  def stop
    said("stop", @folder)
  end

  def remove
    said("remove", @folder)
  end

  private

  def said(*arguments)
    out, status = Open3.capture2e(COMMAND, *arguments)
    raise "bin/postgres #{arguments.join(' ')}: #{out}" unless status.success?

    out.chomp
  end
end
