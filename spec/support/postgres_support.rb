# frozen_string_literal: true

require "open3"
require "securerandom"
require "uri"

# A PostgreSQL database of an example's own, on the server that TEST_DATABASE_URL names: `bin/postgres run` gives one.
module PostgresSupport
  # The database, and its server.
  class Database
    # Never in what a process says.
    PASSWORD = "s3cret-of-the-specs"

    attr_reader :name

    def initialize(server)
      @server = server
      @name = "spec_#{SecureRandom.hex(8)}"
      @roles = []
      server_sql("CREATE DATABASE #{@name}")
    end

    # @param parts [Hash] what differs: user, password, host, port, query
    # @return [String] what a process is given
    def url(**parts)
      uri = URI(@server)
      parts = { user: uri.user, password: uri.password, path: "/#{@name}", **parts }
      # In this order: since uri 0.13.2 another host or port drops the user, and another user the password.
      (%i[host port user password path query] & parts.keys).each { |part| uri.public_send(:"#{part}=", parts[part]) }
      uri.to_s
    end

    # A role that may do nothing but connect.
    # @return [String] its URL
    def role_url(role = "#{@name}_role")
      server_sql("CREATE ROLE #{role} LOGIN PASSWORD '#{PASSWORD}'")
      @roles << role
      url(user: role, password: PASSWORD)
    end

    # Rows a line each, columns separated by `|`.
    def sql(sql, *options)
      psql(url, sql, *options)
    end

    # On the server's own database.
    def server_sql(sql)
      psql(@server, sql)
    end

    def drop
      server_sql("DROP DATABASE #{@name} WITH (FORCE)")
      @roles.each { |role| server_sql("DROP ROLE #{role}") }
    end

    private

    def psql(url, sql, *options)
      command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *options, "-d", url]
      said, errors, status = Open3.capture3(*command, stdin_data: sql)
      raise "#{sql}: #{errors}" unless status.success?

      said.chomp
    end
  end

  # @yieldparam database [Database] gone after the block
  def with_database
    server = ENV["TEST_DATABASE_URL"].to_s
    if server.empty?
      raise "TEST_DATABASE_URL is not set" if ENV["CI"]

      skip "needs PostgreSQL: run it as `bin/postgres run rspec`"
    end
    database = Database.new(server)
    begin
      yield database
    ensure
      TaskerCore.shutdown
      database.drop
    end
  end
end
