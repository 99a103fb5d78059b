# frozen_string_literal: true

require "etc"
require "open3"
require_relative "../psql"
require_relative "install"

module Peers
  # Says on what the figures were measured.
  class Machine
    # What makes PostgreSQL's figures honest, or not.
    SETTINGS = %w[fsync synchronous_commit full_page_writes shared_buffers max_connections].freeze

    def initialize(postgres)
      @postgres = postgres
    end

    # @return [Array<String>]
    def lines
      [hardware, postgres, ruby, python, redis].compact
    end

    # What else the machine does, and what a commit costs at least: the two that move the figures.
    # @return [String]
    def state
      load = File.exist?("/proc/loadavg") ? File.read("/proc/loadavg").split.first : said("uptime")[/[\d.,]+(?=,? )/]
      format("load %s, fdatasync %.2f ms", load, fdatasync_ms)
    end

    # The median of appending 4 KiB and making it durable, on the disk of the SQLite files.
    # @return [Float]
    def fdatasync_ms
      path = File.join(Legs::FOLDER, "fdatasync")
      sample = File.open(path, "w") { |file| Array.new(51) { append(file) } }
      sample.sort[25]
    ensure
      File.unlink(path)
    end

    private

    def append(file)
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      file.syswrite("x" * 4096)
      file.fdatasync
      (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began) * 1000
    end

    def hardware
      model = File.exist?("/proc/cpuinfo") ? File.read("/proc/cpuinfo")[/^model name\s*: (.*)/, 1] : said("uname", "-m")
      memory = File.exist?("/proc/meminfo") ? File.read("/proc/meminfo")[/^MemTotal:\s+(\d+)/, 1].to_i / 1_048_576 : "?"
      "#{Etc.nprocessors} cores, #{model}, #{memory} GiB, #{said('uname', '-sr')}"
    end

    def postgres
      values = SETTINGS.map { |name| "#{name} #{Psql.run(@postgres, "SHOW #{name}").strip}" }
      "PostgreSQL #{Psql.run(@postgres, 'SHOW server_version').strip}: #{values.join(', ')}"
    end

    def ruby
      gems = %w[sidekiq redis pg].map { |name| "#{name} #{version(name)}" }
      pgmq = Install.pgmq_sql[%r{/pgmq-([^/]+)/}, 1]
      "#{said('ruby', '--version')[/\S+ \S+/]}, tasker_core #{tasker_core}, #{gems.join(', ')}, pgmq's SQL #{pgmq}"
    rescue Missing
      "#{said('ruby', '--version')[/\S+ \S+/]}, tasker_core #{tasker_core}, #{gems.join(', ')}"
    end

    def python
      code = "import sys, sqlite3, importlib.metadata as m; " \
             "print('Python', sys.version.split()[0], 'with SQLite', sqlite3.sqlite_version, end=''); " \
             "[print(',', name, m.version(name), end='') for name in ('dbos', 'SQLAlchemy', 'psycopg')]"
      said(Install.dbos, "-c", code)
    rescue Missing
      nil
    end

    def redis
      "Redis #{said(Install.redis, '--version')[/v=(\S+)/, 1]}"
    rescue Missing
      nil
    end

    def version(gem)
      Gem::Specification.find_by_name(gem).version
    rescue Gem::MissingSpecError
      "missing"
    end

    def tasker_core
      File.read(File.join(Install::ROOT, "lib/tasker_core/version.rb"))[/VERSION = "(.*)"/, 1]
    end

    def said(*command)
      Open3.capture2e(*command).first.strip
    end
  end
end
