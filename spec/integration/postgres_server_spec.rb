# frozen_string_literal: true

require "open3"
require "shellwords"

# bin/postgres, the throw-away server of tests and benchmarks.
RSpec.describe "bin/postgres" do
  command = File.expand_path("../../bin/postgres", __dir__)

  before(:all) { skip "needs PostgreSQL" if Dir["/usr/lib/postgresql/*/bin/initdb"].empty? }

  define_method(:postgres) do |*arguments|
    Open3.capture3({ "TEST_DATABASE_URL" => nil }, command, *arguments)
  end

  it "runs a command beside a server of its own, and leaves nothing" do
    sql = "SHOW data_directory; SHOW listen_addresses; SHOW fsync"
    out, errors, status = postgres("run", "sh", "-c", "psql -XAt -c #{sql.shellescape} $TEST_DATABASE_URL; exit 7")
    folder, *settings = out.lines(chomp: true)
    expect([settings, errors, status.exitstatus]).to eq([%w[127.0.0.1 on], "", 7])
    expect(File.exist?(File.dirname(folder))).to be(false)
  end

  it "lets nobody in without the password" do
    _, errors, status = postgres("run", "--fast", "sh", "-c",
                                 "psql -Xc 'SELECT 1' $(echo $TEST_DATABASE_URL | sed 's/:[0-9a-f]*@/:wrong@/')")
    expect([errors, status.exitstatus]).to match([/password authentication failed/, 2])
  end

  it "keeps data, port and password of a server that was killed" do
    folder = postgres("folder").first.chomp
    url = postgres("start", folder).first.chomp
    made = system("psql", "-Xqc", "CREATE TABLE kept AS SELECT 7 AS n", url)
    postgres("kill", folder)
    expect([made, postgres("start", folder).first.chomp]).to eq([true, url])
    expect(Open3.capture2("psql", "-XAtc", "SELECT n FROM kept", url).first).to eq("7\n")
  ensure
    postgres("remove", folder)
    expect(File.exist?(folder)).to be(false)
  end
end
