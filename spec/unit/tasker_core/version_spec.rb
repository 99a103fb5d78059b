# frozen_string_literal: true

RSpec.describe "TaskerCore::VERSION" do
  it "is the workspace's" do
    manifest = File.read(File.expand_path("../../../Cargo.toml", __dir__))
    expect(TaskerCore::VERSION).to eq(manifest[/^version = "([^"]+)"/, 1])
  end
end
