# frozen_string_literal: true

require "rbconfig"

# bench/event_chaos.rb, small: EVENTS=100000 makes it large.
RSpec.describe "domain events while publishers and subscribers are killed" do
  def campaign(store)
    env = { "STORE" => store, "EVENTS" => ENV.fetch("EVENTS", "900"), "KILLS_PER_SECOND" => "6",
            "LIMIT_SECONDS" => "45", "HANDLER_MS" => "4", "LOG_LEVEL" => "off" }
    Open3.capture2e(env, RbConfig.ruby, File.expand_path("../../bench/event_chaos.rb", __dir__))
  end

  %w[sqlite postgres].each do |store|
    it "are published once and delivered at least once, in the order of their keys, on #{store}" do
      skip "needs PostgreSQL: run it as `bin/postgres run rspec`" if store == "postgres" && !ENV["TEST_DATABASE_URL"]
      said, status = campaign(store)
      expect([said[/^verdict: .*/], status.success?]).to eq(["verdict: fine", true]), said
    end
  end
end
