# frozen_string_literal: true

require "open3"
require "tmpdir"

# What bin/setup wants on a bare Debian, where nothing is installed: a PATH that is made up, and a user who is not root.
RSpec.describe "bin/setup" do
  around { |example| Dir.mktmpdir { |folder| (@path = folder) && example.run } }

  before do
    File.symlink("/usr/bin/dirname", File.join(@path, "dirname"))
    program("id", "echo 1000")
    program("apt-get", "exit 1")
  end

  def program(name, does)
    File.write(File.join(@path, name), "#!/bin/sh\n#{does}\n", perm: 0o755)
  end

  def setup(*arguments, **env)
    env = { "PATH" => @path, "HOME" => @path, "LIBCLANG_PATH" => nil, **env.transform_keys(&:to_s) }
    said, status = Open3.capture2e(env, "/bin/bash", File.expand_path("../../bin/setup", __dir__), *arguments)
    expect(status.exitstatus).to eq(1), said
    said
  end

  def on_debian
    skip "needs Debian" unless File.exist?("/etc/debian_version")
  end

  it "wants for the demo what builds and runs the extension, and nothing else" do
    on_debian
    expect(setup("--without-tests")).to end_with("run: apt-get install ruby ruby-dev build-essential libclang-dev\n")
  end

  it "wants what tests and lint need besides" do
    on_debian
    expect(setup).to end_with(
      "run: apt-get install ruby ruby-dev build-essential libclang-dev rake ruby-rspec rubocop sqlite3 ruby-railties\n"
    )
  end

  it "says that LIBCLANG_PATH leads nowhere before anything is installed or built" do
    program("ruby", "exec #{RbConfig.ruby} \"$@\"")
    expect(setup(LIBCLANG_PATH: "/nowhere")).to start_with('setup: LIBCLANG_PATH is "/nowhere", and there is no')
  end

  it "refuses an option that it does not have" do
    expect(setup("--without-test")).to eq("setup: there is no '--without-test'. It takes --without-tests or nothing.\n")
  end
end
