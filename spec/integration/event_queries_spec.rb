# frozen_string_literal: true

require "open3"

# What docs/guide/event_subscribers.md tells readers in other languages to ask.
RSpec.describe "The queries of docs/guide/event_subscribers.md" do
  let(:blocks) { Document.new("docs/guide/event_subscribers.md").section("## Another language").blocks("sql") }

  def publish(database)
    configure(database: database)
    TaskerCore.engine.open
    event = { name: "payment.processed", namespace: "shop", payload: { amount: 7 }, key: "k" }
    TaskerCore::Native.publish_events(JSON.generate([event]))
  end

  it "answer in PostgreSQL" do
    with_database do |database|
      publish(database.url)
      queue, events, = blocks
      expect(database.sql(queue)).to include("payment.processed").and end_with("f")
      # Another database of the server may have an open transaction.
      wait_until("the event may be read") { database.sql(events).include?("payment.processed|k") }
      expect { database.sql(open_transactions) }.not_to raise_error
    end
  end

  # The one that shows who keeps events back.
  def open_transactions
    Document.new("docs/guide/event_subscribers.md").text[/`(SELECT pid, .*?)`/m, 1]
  end

  it "answer in SQLite" do
    skip "needs the sqlite3 command" unless system("command -v sqlite3 >/dev/null")
    in_folder do |folder|
      publish("#{folder}/tasker.sqlite3")
      out, errors, = Open3.capture3("sqlite3", "-bail", "-list", "#{folder}/tasker.sqlite3", stdin_data: blocks.last)
      expect([errors, out[/payment.processed\|k/]]).to eq(["", "payment.processed|k"])
    end
  end
end
