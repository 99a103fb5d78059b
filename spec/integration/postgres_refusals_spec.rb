# frozen_string_literal: true

require "socket"

# A worker whose server cannot be used: its process ends with status 1, and its last line says what to do.
RSpec.describe "A worker without a PostgreSQL it can use" do
  password = PostgresSupport::Database::PASSWORD

  # @return [String] what it said
  define_method(:refused) do |url, *hints|
    program = 'TaskerCore.configure { |config| config.template_paths = [] }; TaskerCore::Worker.start; puts "started"'
    output, errors, status = ruby(program, env: { "DATABASE_URL" => url, "LOG_LEVEL" => "debug" })
    expect([output, status.exitstatus]).to eq(["", 1]), errors
    expect(errors).to match(/\(TaskerCore::StoreError\)/)
    hints.each { |hint| expect(errors).to match(hint) }
    expect(errors).not_to include(password)
    expect(errors).not_to include(URI(ENV["TEST_DATABASE_URL"].to_s).password.to_s) if ENV["TEST_DATABASE_URL"]
    errors
  end

  # No schema of ours, and none of PGMQ's.
  def expect_untouched(database)
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('tasker', 'pgmq')"
    expect(database.sql(schemas)).to eq("0")
  end

  it "finds no server" do
    port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
    refused("postgres://shop:#{password}@127.0.0.1:#{port}/orders",
            /no connection to PostgreSQL/, /Is the server running and reachable at the host and port of DATABASE_URL/)
  end

  it "finds no such host" do
    refused("postgres://shop:#{password}@no-such-host.invalid/orders", /reachable at the host and port/)
  end

  it "has a wrong password" do
    with_database do |database|
      refused(database.url(password: password), /28P01/, /Check user and password in DATABASE_URL/)
      expect_untouched(database)
    end
  end

  it "has no database" do
    with_database do |database|
      refused(database.url(path: "/not_there"), /3D000/, /createdb/)
    end
  end

  it "finds a server that only reads" do
    with_database do |database|
      database.server_sql("ALTER DATABASE #{database.name} SET default_transaction_read_only = on")
      refused(database.url, /read-only/, /name the primary in DATABASE_URL/)
      database.server_sql("ALTER DATABASE #{database.name} RESET default_transaction_read_only")
      expect_untouched(database)
    end
  end

  it "may not make the schema, nor use one that is there" do
    with_database do |database|
      modest = database.role_url
      refused(modest, /may not create it/, /rake tasker:migrate/, %r{docs/\S*\.md lists the grants})
      expect_untouched(database)
      configure(database: database.url)
      TaskerCore.migrate
      refused(modest, /42501/, %r{docs/\S*\.md lists the grants})
    end
  end

  it "is older than the schema" do
    with_database do |database|
      configure(database: database.url)
      _, version = TaskerCore.migrate
      database.sql("INSERT INTO tasker.schema_migrations (version, name, works_with) " \
                   "VALUES (#{version + 1}, 'of the future', #{version + 1})")
      refused(database.url, /needs version #{version + 1} or later, this version of tasker_core knows #{version}/,
              /upgrade the gem/)
      expect(database.sql("SELECT max(version) FROM tasker.schema_migrations")).to eq((version + 1).to_s)
    end
  end
end
