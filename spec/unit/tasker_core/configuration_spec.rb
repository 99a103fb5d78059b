# frozen_string_literal: true

RSpec.describe TaskerCore::Configuration do
  subject(:configuration) { described_class.new({}) }

  it "works with no setting at all" do
    expect(configuration)
      .to have_attributes(database: "storage/tasker.sqlite3", concurrency: 10, shutdown_timeout: 25.0)
  end

  it "takes the database from TASKER_DATABASE, then from a DATABASE_URL that is ours" do
    {
      { "TASKER_DATABASE" => "a.sqlite3", "DATABASE_URL" => "postgres://x" } => "a.sqlite3",
      { "TASKER_DATABASE" => "", "DATABASE_URL" => "postgres://x" } => "postgres://x",
      { "DATABASE_URL" => "sqlite:b.sqlite3" } => "sqlite:b.sqlite3",
      { "DATABASE_URL" => "mysql2://x" } => "storage/tasker.sqlite3"
    }.each { |env, database| expect(described_class.new(env).database).to eq(database) }
  end

  it "says that a setting is not UTF-8" do
    configuration.database = "a\xFF"
    expect { configuration.to_engine_json }.to raise_error(TaskerCore::ConfigurationError, /not UTF-8/)
  end

  it "never shows the database's password" do
    %w[postgres://shop:s3cret@db/orders postgres://shop:s3@cret@db/orders postgres://shop@db/orders?password=s3cret
       postgresql://db/orders?sslmode=require&password=s3cret&user=shop].each do |url|
      configuration.database = url
      expect(configuration.inspect).to include("/orders").and(satisfy { |shown| !shown.match?(/s3|cret/) })
    end
  end

  it "is the engine's document" do
    configuration.namespaces = :orders
    document = JSON.parse(configuration.to_engine_json(concurrency: 3))
    expect(document).to include("database" => File.absolute_path("storage/tasker.sqlite3"), "synchronous" => "full",
                                "durability" => "step")
    expect(document["worker"]).to include("concurrency" => 3, "namespaces" => ["orders"])
  end

  it "has the web server's settings, or leaves them to the environment" do
    expect(JSON.parse(configuration.to_engine_json)["web"]).to eq({})
    configuration.web = { port: 0, bind: "127.0.0.2", token: "hush", enabled: false }
    expect(JSON.parse(configuration.to_engine_json)["web"])
      .to eq("port" => 0, "bind" => "127.0.0.2", "token" => "hush", "enabled" => false)
  end

  it "names what is wrong with the web server's settings" do
    [{ ports: 1 }, { port: 70_000 }, { port: "http" }].each do |web|
      configure(web: web)
      expect { TaskerCore::Worker.start }.to raise_error(TaskerCore::ConfigurationError, /port/)
    end
  end

  it "tells the engine which commits the server must have on its disk" do
    in_folder do |folder|
      configure(database: "#{folder}/a.sqlite3", durability: :task)
      expect(JSON.parse(TaskerCore.configuration.to_engine_json)).to include("durability" => "task")
      expect { TaskerCore.engine.open }.not_to raise_error
    end
  end

  it "refuses worker settings it does not know" do
    expect { configuration.to_engine_json(threads: 3) }
      .to raise_error(TaskerCore::ConfigurationError, /threads; known settings: concurrency/)
  end

  it "refuses changes while the engine is open" do
    configuration.in_use = true
    expect { configuration.database = "x" }
      .to raise_error(TaskerCore::ConfigurationError, /before the first submission/)
    configuration.in_use = false
    expect { configuration.database = "x" }.to change(configuration, :database).to("x")
  end

  it "refuses at once what no worker can use" do
    configuration = described_class.new({})
    { max_result_bytes: [nil, "x", 0, -1, 1.5], namespaces: [5, [nil], [""], [5]], handlers: [nil, 5, []],
      durability: [nil, "", :steps, 1], telemetry: [5, "x"], web: [5] }.each do |name, values|
      values.each do |value|
        expect { configuration.public_send(:"#{name}=", value) }
          .to raise_error(TaskerCore::ConfigurationError, /#{name} must be .*not #{Regexp.escape(value.inspect)}/)
      end
    end
    expect { configuration.to_engine_json(namespaces: [nil]) }.to raise_error(TaskerCore::ConfigurationError)
    configuration.namespaces = :orders
    configuration.telemetry = nil
  end

  it "refuses a database that is none, and says nothing of its password" do
    { nil => /empty/, "" => /empty/, "sqlite:" => /empty/, "sqlite://" => /empty/, " " => /empty/,
      "postgress://u:s3cret@db/x" => %r{"postgress://db/x".*no store}, "mysql://db/x" => %r{no store for mysql://},
      "a\u0000b" => /NUL/ }.each do |database, reason|
      configure(database: database)
      expect { TaskerCore.engine.open }.to raise_error(TaskerCore::ConfigurationError) { |error|
        expect(error.message).to match(reason)
        expect(error.message).not_to include("s3cret")
      }
      expect { TaskerCore.migrate }.to raise_error(TaskerCore::ConfigurationError, reason)
    end
  end

  it "takes a scheme in any case" do
    in_folder do |folder|
      configure(database: "SQLite:#{folder}/a.sqlite3")
      TaskerCore.engine.open
      expect(File.exist?("#{folder}/a.sqlite3")).to be(true)
      reset_engine
      configure(database: "Postgres://127.0.0.1:1/x")
      expect { TaskerCore.engine.open }.to raise_error(TaskerCore::StoreError)
      expect(described_class.new({ "DATABASE_URL" => "POSTGRES://db/x" }).database).to eq("POSTGRES://db/x")
    end
  end

  it "means the same file when the process changes its folder" do
    in_folder do |folder|
      configuration = described_class.new({})
      before = Dir.chdir(folder) { JSON.parse(configuration.to_engine_json)["database"] }
      expect(JSON.parse(configuration.to_engine_json)["database"]).to eq(before)
      configuration.database = "other.sqlite3"
      expect(JSON.parse(configuration.to_engine_json)["database"]).to eq(File.absolute_path("other.sqlite3"))
    end
  end
end
