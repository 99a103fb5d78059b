# frozen_string_literal: true

require "net/http"
require "open3"

# One task that makes no sense to this version must not stop the others, and a person must hear of it.
RSpec.describe "A task that cannot be read" do
  def break_template(database, name)
    sql = "UPDATE templates SET document = 'nonsense' WHERE name = '#{name}'"
    _, errors, status = Open3.capture3("sqlite3", "-bail", database, sql)
    expect([errors, status.exitstatus]).to eq(["", 0])
  end

  def health
    JSON.parse(Net::HTTP.get(URI("http://#{TaskerCore.status['web']['address']}/health")))
  end

  it "is left alone, named in the status and counted in /health, while the others go on" do
    skip "needs the sqlite3 command" unless system("command -v sqlite3 >/dev/null")
    in_folder do |folder|
      configure(database: "#{folder}/tasker.sqlite3")
      TaskerCore.submit(one_step("broken") { 1 })
      reset_engine
      break_template("#{folder}/tasker.sqlite3", "broken")

      configure(database: "#{folder}/tasker.sqlite3", web: { port: 0 })
      expect(run_task(one_step("whole") { 1 }).state).to eq("complete")
      wait_until("the task is left alone") { TaskerCore.status["quarantined"].any? }
      expect(TaskerCore.status["quarantined"]).to match([{ "task" => 1, "why" => /template/ }])
      expect(health).to include("status" => "degraded")
      expect(health["checks"]["tasks"]).to eq("status" => "degraded", "quarantined" => 1)
    end
  end
end
