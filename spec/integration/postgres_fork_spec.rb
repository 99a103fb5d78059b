# frozen_string_literal: true

RSpec.describe "A fork on PostgreSQL" do
  around { |example| with_database { |database| (@database = database) && example.run } }
  let(:database) { @database.url }

  include_examples "a fork"

  it "leaves the parent its connections, and nothing open on the server when all have ended" do
    run_forking(<<~RUBY)
      TaskerCore::Worker.start(concurrency: 1)
      TaskerCore.submit("work", { number: 1 }).wait(timeout: 20)
      in_child { TaskerCore.submit("work", { number: 2 }).wait(timeout: 20) }
    RUBY
    left = "SELECT count(*) FROM pg_stat_activity WHERE datname = '#{@database.name}'"
    wait_until("the sessions to end") { @database.server_sql(left) == "0" }
  end
end
