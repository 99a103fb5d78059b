# frozen_string_literal: true

RSpec.describe "The boundary: fork" do
  around { |example| in_folder { |folder| (@folder = folder) && example.run } }
  let(:database) { "#{@folder}/tasker.sqlite3" }

  include_examples "a fork"

  it "gives a child of a database in memory one of its own" do
    expect(run_forking(<<~RUBY)).to eq("TaskerCore::NotFoundError complete\n")
      TaskerCore.configuration.database = ":memory:"
      TaskerCore::Worker.start(concurrency: 1)
      task = TaskerCore.submit("work", { number: 1 })
      child, = in_child do
        TaskerCore.task(task.task_uuid).state
      rescue TaskerCore::Error => e
        e.class
      end
      puts [child, task.wait(timeout: 20).state].join(" ")
    RUBY
  end

  it "lets settings change in the child" do
    expect(run_forking(<<~RUBY)).to eq("7\n")
      TaskerCore.engine.open
      puts in_child { TaskerCore.configure { |config| config.concurrency = 7 }.concurrency }.first
    RUBY
  end
end
