# frozen_string_literal: true

RSpec.describe TaskerCore::Events::EngineEvent do
  def read(**item)
    described_class.read(TaskerCore::JsonText.parse(JSON.generate(item)))
  end

  let(:ids) do
    { task_uuid: "t", correlation_id: "c", namespace: "orders", trace_id: "a" * 32, span_id: "b" * 16,
      at: "2023-11-14T22:13:23.000000Z" }
  end

  it "has the payload of a step, as a handler's event has it" do
    event = read(event: "step.completed", **ids, step_uuid: "s", step_name: "charge", attempt_number: 1, retry_limit: 3,
                 started_at: "2023-11-14T22:13:20.000000Z", completed_at: "2023-11-14T22:13:22.340000Z",
                 execution_duration: 2.34)
    expect(event.payload).to eq(
      task_id: "t", step_id: "s", step_name: "charge", started_at: "2023-11-14T22:13:20.000000Z",
      completed_at: "2023-11-14T22:13:22.340000Z", execution_duration: 2.34, attempt_number: 1, retry_limit: 3,
      event_type: "completed", timestamp: "2023-11-14T22:13:23.000000Z"
    )
    expect(event.payload.keys).to eq(TaskerCore::EventPayloadBuilder::STEP_KEYS)
    expect(event).to have_attributes(name: "step.completed", source: :engine, correlation_id: "c")
    expect(event.period).to eq(%w[2023-11-14T22:13:20.000000Z 2023-11-14T22:13:22.340000Z])
    expect(event.context.traceparent).to eq("00-#{'a' * 32}-#{'b' * 16}-01")
  end

  it "has the payload of an error, and knows how long the attempt took all the same" do
    event = read(event: "step.failed", **ids, started_at: "a", completed_at: "b", error_message: "no",
                 error_class: "IOError", backtrace: ["a:1"])
    expect(event.payload).to include(error_message: "no", error_class: "IOError", backtrace: ["a:1"],
                                     event_type: "failed", step_id: nil)
    expect(event.period).to eq(%w[a b])
    expect(event.payload.keys).to eq(TaskerCore::EventPayloadBuilder::ERROR_KEYS)
  end

  it "has the payload of a task" do
    event = read(event: "task.completed", **ids, task_name: "order", total_steps: 5, completed_steps: 5,
                 failed_steps: 0)
    expect(event.payload).to include(task_name: "order", total_steps: 5, completed_steps: 5, failed_steps: 0,
                                     event_type: "completed")
    expect(event.payload.keys).to eq(TaskerCore::EventPayloadBuilder::TASK_KEYS)
  end

  it "leaves out of a workflow's payload what is not known, and goes without a trace" do
    event = read(event: "workflow.no_viable_steps", task_uuid: "t", at: "2025-01-01T00:00:00Z")
    expect(event.payload).to eq(task_id: "t", event_type: "no_viable_steps", timestamp: "2025-01-01T00:00:00Z")
    expect([event.context, event.period]).to eq([nil, nil])
  end
end
