# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::EventBridge do
  subject(:bridge) { described_class.instance }

  it "wraps the step, and lets every id through" do
    event = step_event(parent_correlation_id: "p")
    ids = event.slice(:event_id, :task_uuid, :step_uuid, :correlation_id, :parent_correlation_id, :trace_id, :span_id)
    wrapped = bridge.wrap_step_execution_event(event)
    expect(wrapped).to include(ids)
    expect(wrapped[:task_sequence_step]).to be_a(TaskerCore::StepContext).and have_attributes(step_name: "charge")
  end

  it "leaves out what an event does not have" do
    event = step_event
    event.delete(:trace_id)
    event.delete(:span_id)
    expect(bridge.wrap_step_execution_event(event).keys).not_to include(:trace_id, :span_id, :parent_correlation_id)
  end

  it "hands completions to the engine" do
    expect(TaskerCore::Native).to receive(:complete_step_event).with({ event_id: "e" })
    bridge.publish_step_completion({ event_id: "e" })
  end
end
