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
      { "DATABASE_URL" => "postgres://x" } => "postgres://x",
      { "DATABASE_URL" => "sqlite:b.sqlite3" } => "sqlite:b.sqlite3",
      { "DATABASE_URL" => "mysql2://x" } => "storage/tasker.sqlite3"
    }.each { |env, database| expect(described_class.new(env).database).to eq(database) }
  end

  it "is the engine's document" do
    configuration.namespaces = :orders
    document = JSON.parse(configuration.to_engine_json(concurrency: 3))
    expect(document).to include("database" => "storage/tasker.sqlite3", "synchronous" => "full")
    expect(document["worker"]).to include("concurrency" => 3, "namespaces" => ["orders"])
  end

  it "refuses worker settings it does not know" do
    expect { configuration.to_engine_json(threads: 3) }
      .to raise_error(TaskerCore::ConfigurationError, /threads; there are concurrency/)
  end

  it "refuses changes while the engine is open" do
    configuration.in_use = true
    expect { configuration.database = "x" }
      .to raise_error(TaskerCore::ConfigurationError, /before the first submission/)
    configuration.in_use = false
    expect { configuration.database = "x" }.to change(configuration, :database).to("x")
  end
end
