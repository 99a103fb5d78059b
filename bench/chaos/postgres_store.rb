# frozen_string_literal: true

require "open3"
require "uri"
require_relative "../proxy"
require_relative "../psql"
require_relative "store_failed"

module Chaos
  # A PostgreSQL of our own, through bin/postgres, behind a bad network: what may be done to it while work goes on.
  # Questions go past the network.
  class PostgresStore
    COMMAND = File.expand_path("../../bin/postgres", __dir__)
    FAULTS = %i[cut network outage].freeze
    # At which share of the submission.
    OUTAGES = { 0.2 => :restart, 0.5 => :kill, 0.8 => :restart }.freeze

    attr_reader :terminated

    def initialize(_folder)
      @folder = said("folder")
      @url = said("start", @folder)
      address = URI(@url)
      @proxy = Proxy.new(address.host, address.port)
      @terminated = 0
    end

    def name
      "PostgreSQL"
    end

    # @return [Hash{String => String, nil}] how a process finds it
    def env
      { "DATABASE_URL" => @proxy.through(@url), "TASKER_DATABASE" => nil }
    end

    def faults
      FAULTS
    end

    def outages
      OUTAGES
    end

    def restart
      said("restart", @folder)
    end

    def kill
      said("kill", @folder)
      said("start", @folder)
    end

    # Cuts some of the connections that are open.
    def cut(random)
      cut = rows(<<~SQL)
        SELECT pg_terminate_backend(pid) FROM
          (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            ORDER BY random() LIMIT #{1 + random.rand(3)}) unlucky
      SQL
      @terminated += cut.size
    rescue StoreFailed
      nil
    end

    def network(random)
      @proxy.disturb(random)
    end

    def calm
      @proxy.calm
    end

    def table(name)
      "tasker.#{name}"
    end

    # @return [String] an expression: seconds until that moment
    def seconds_until(column)
      "extract(epoch FROM #{column} - now())"
    end

    # @raise [StoreFailed]
    def rows(sql)
      Psql.rows(@url, sql)
    rescue Psql::Failed => e
      raise StoreFailed, e.message
    end

    # @return [Hash{String => Integer}] what there is besides tables of tasks and steps, and must not be at the end
    def leftovers
      queues = rows("SELECT table_name FROM information_schema.tables " \
                    "WHERE table_schema = 'pgmq' AND table_name LIKE 'q\\_%\\_steps'").map { |row| row["table_name"] }
      queues.to_h { |queue| ["messages in #{queue}", rows("SELECT count(*) AS n FROM pgmq.\"#{queue}\"").first["n"]] }
    end

    def whole?
      true
    end

    def to_s
      "PostgreSQL: #{@terminated} connections cut; network: " \
        "#{@proxy.counts.map { |fault, count| "#{count} #{fault}" }.join(', ')}"
    end

    def hint
      "bin/postgres start #{@folder}, and remove instead of start when done"
    end

    def stop
      @proxy.close
      said("stop", @folder)
    end

    def remove
      @proxy.close
      said("remove", @folder)
    end

    private

    def said(*arguments)
      out, status = Open3.capture2e(COMMAND, *arguments)
      raise "bin/postgres #{arguments.join(' ')}: #{out}" unless status.success?

      out.chomp
    end
  end
end
