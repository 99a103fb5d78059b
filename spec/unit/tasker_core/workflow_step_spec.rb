# frozen_string_literal: true

RSpec.describe TaskerCore::WorkflowStep do
  before { configure }

  def stats(task)
    described_class.task_completion_stats(task)
  end

  it "counts the steps of a task, as they move" do
    results = { "one" => ->(_step) { 1 }, "two" => ->(_step) { raise TaskerCore::PermanentError, "no" } }
    TaskerCore.configuration.handlers = results
    TaskerCore.template("order") do
      step :one, handler: "one"
      step :two, handler: "two", depends_on: :one
      step :three, handler: "one", depends_on: :two
    end
    task = TaskerCore.submit("order")
    expect(stats(task)).to eq(total_steps: 3, completed_steps: 0, failed_steps: 0, cancelled_steps: 0,
                              pending_steps: 3, all_complete: false)
    TaskerCore::Worker.start(concurrency: 1)
    task.wait(timeout: 20)
    expect(stats(task)).to include(completed_steps: 1, failed_steps: 1, pending_steps: 1)
    task.resolve(:two, result: 2)
    task.wait(timeout: 20)
    expect(stats(task.task_uuid)).to eq(total_steps: 3, completed_steps: 3, failed_steps: 0, cancelled_steps: 0,
                                        pending_steps: 0, all_complete: true)
  end

  it "counts those of a cancelled task" do
    task = TaskerCore.submit(one_step { 1 })
    task.cancel
    expect(stats(task)).to include(total_steps: 1, cancelled_steps: 1, pending_steps: 0, all_complete: false)
  end

  it "reads the database once" do
    task = TaskerCore.submit(one_step { 1 })
    reads = 0
    allow(TaskerCore::Native).to receive(:task).and_wrap_original { |read, *args| (reads += 1) && read.call(*args) }
    stats(task)
    expect(reads).to eq(1)
  end
end
