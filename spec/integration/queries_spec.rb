# frozen_string_literal: true

require "open3"

# The queries that docs/operations/runbook.md gives to operators.
RSpec.describe "The queries of docs/operations/runbook.md" do
  # A task that failed, one that waits for a retry, one that runs, one that waits for a worker, one that is done.
  # @yieldparam failed [TaskerCore::Task]
  def with_tasks(database)
    gate = Queue.new
    configure(database: database, handlers: {
                "good" => ->(_) { 1 }, "bad" => ->(_) { raise TaskerCore::PermanentError, "no" },
                "busy" => ->(_) { raise TaskerCore::RetryableError.new("busy", retry_after: 3600) },
                "slow" => ->(_) { gate.pop }
              })
    %w[good bad busy slow].each { |name| TaskerCore.template(name) { step :only, handler: name } }
    TaskerCore::Worker.start(concurrency: 1)
    TaskerCore.submit("good").wait(timeout: 20)
    TaskerCore.submit("busy").tap { |task| wait_until { task.state == "waiting_for_retry" } }
    failed = TaskerCore.submit("bad").wait(timeout: 20)
    TaskerCore.submit("slow")
    wait_until { gate.num_waiting == 1 }
    TaskerCore.submit("good")
    yield failed
  ensure
    gate << 1
  end

  # Runs every block of that language.
  def expect_answers(language, failed)
    blocks = Document.new("docs/operations/runbook.md").blocks(language)
    answers = blocks.map { |sql| yield sql.gsub("CORRELATION_ID", failed.correlation_id) }
    expect(answers).to all(match(/\S/))
    expect(answers.join).to include(failed.task_uuid, "TaskerCore::PermanentError", "TaskerCore::RetryableError")
    timeline = answers.find { |answer| answer.include?("|enqueued|in_progress|") }
    expect(timeline).to include("|blocked_by_failures|").or include("|evaluating_results|error|")
    expect(timeline).to include("TaskerCore::PermanentError: no")
  end

  it "answer in SQLite" do
    skip "needs the sqlite3 command" unless system("command -v sqlite3 >/dev/null")
    in_folder do |folder|
      with_tasks("#{folder}/tasker.sqlite3") do |failed|
        expect_answers("sql", failed) do |sql|
          out, errors, status = Open3.capture3("sqlite3", "-bail", "-list", "#{folder}/tasker.sqlite3", stdin_data: sql)
          expect([errors, status.exitstatus]).to eq(["", 0]), "#{sql}\n#{errors}"
          out
        end
      end
    end
  end

  it "answer in PostgreSQL" do
    with_database do |database|
      with_tasks(database.url) { |failed| expect_answers("postgresql", failed) { |sql| database.sql(sql) } }
    end
  end
end
