# frozen_string_literal: true

RSpec.describe TaskerCore::RunningTask do
  it "knows what came with the step without asking the engine" do
    step = step_context(context: { order_id: 7 }, parent_correlation_id: "p")
    task = described_class.new(step)
    expect(task.context["order_id"]).to eq(7)
    expect(task).to have_attributes(task_id: step.task_uuid, name: "order", namespace: "default",
                                    correlation_id: step.correlation_id, trace_id: step.trace_id,
                                    parent_correlation_id: "p")
    expect(TaskerCore::Native.open?).to be(false)
  end

  it "reads everything else from the database" do
    configure
    seen = nil
    old = Class.new do
      define_method(:handle) do |task, _sequence, step|
        seen = [task.state, task.steps.map(&:name), task.priority, task == TaskerCore.task(step.task_uuid)]
        step.results = { order: task.context["order_id"] }
        :not_this
      end
    end
    task = run_task(one_step("old", old), { order_id: 7 }, priority: 3)
    expect(seen).to eq(["steps_in_process", ["only"], 3, true])
    expect(task.result).to eq(only: { order: 7 })
  end
end
