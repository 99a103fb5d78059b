# frozen_string_literal: true

RSpec.describe "TaskerCore::VERSION" do
  root = File.expand_path("../../..", __dir__)

  it "is the workspace's" do
    manifest = File.read(File.join(root, "Cargo.toml"))
    expect(TaskerCore::VERSION).to eq(manifest[/^version = "([^"]+)"/, 1])
  end

  it "comes in a gem that has all of lib and of the migrations" do
    files = Gem::Specification.load(File.join(root, "tasker_core.gemspec")).files
    wanted = Dir.glob(%w[lib/**/*.rb ext/tasker_engine/migrations/**/*.sql], base: root)
    expect(wanted.grep(/grants\.sql|railtie\.rb|tasks\.rb/).size).to eq(3)
    expect(wanted - files).to eq([])
  end
end
