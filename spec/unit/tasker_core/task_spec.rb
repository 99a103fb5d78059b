# frozen_string_literal: true

RSpec.describe TaskerCore::Task do
  before { configure }

  it "tells what became of every step" do
    task = run_task(one_step { { receipt: "r1" } })
    expect(task).to have_attributes(state: "complete", final?: true, complete?: true, error: nil)
    expect(task.result).to eq(only: { receipt: "r1" })
    expect(task.step(:only)).to have_attributes(name: "only", state: "complete", attempts: 1, max_attempts: 3,
                                                handler: "one_step", error: nil, result: { receipt: "r1" })
    expect(task.created_at).to be_within(60).of(Time.now)
    expect(task.completed_at).to be >= task.created_at
    expect { task.step(:other) }.to raise_error(TaskerCore::NotFoundError, /no step other; it has only/)
  end

  it "tells why it failed" do
    task = run_task(one_step { raise TaskerCore::PermanentError.new("no card", code: "NO_CARD") })
    expect(task.state).to eq("error")
    expect(task.error).to include(step: "only", class: "TaskerCore::PermanentError", message: "no card",
                                  code: "NO_CARD", attempt: 1, retryable: false)
    expect(task.error[:backtrace].first).to include("task_spec.rb")
  end

  it "has a history that explains itself" do
    task = run_task(one_step { 1 })
    steps = task.transitions.select { |transition| transition.step == "only" }.map(&:to_state)
    expect(steps).to eq(%w[enqueued in_progress complete])
    expect(task.transitions.reject(&:step).last.to_state).to eq("complete")
    expect(task.transitions.map(&:created_at)).to eq(task.transitions.map(&:created_at).sort)
  end

  it "waits no longer than it is told" do
    task = TaskerCore.submit(one_step { 1 }, {}, run_at: Time.now + 3600)
    expect { task.wait(timeout: 0.01) }.to raise_error(TaskerCore::TimeoutError, /still pending after 0.01 s/)
  end

  it "is found by its uuid, and only by one that is" do
    task = TaskerCore.submit(one_step { 1 })
    expect(TaskerCore.task(task.task_uuid)).to eq(task)
    expect { TaskerCore.task("0190c0de-0000-7000-8000-000000000001") }.to raise_error(TaskerCore::NotFoundError)
    expect { TaskerCore.task("seven") }.to raise_error(TaskerCore::InvalidInputError, /"seven" is not a UUID/)
  end

  it "refuses a resolution that JSON cannot say" do
    task = TaskerCore.submit(one_step { 1 })
    expect { task.resolve(:only, result: Object.new) }
      .to raise_error(TaskerCore::InvalidInputError, /instance of Object/)
  end

  it "waits for ever or for a number of seconds" do
    task = run_task(one_step { 1 })
    expect(task.wait(timeout: Float::INFINITY)).to be_complete
    ["x", -1, Float::NAN, Complex(1, 1), []].each do |timeout|
      expect { task.wait(timeout: timeout) }.to raise_error(TaskerCore::InvalidInputError, /number of seconds/)
    end
  end
end
