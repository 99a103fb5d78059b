# frozen_string_literal: true

RSpec.describe TaskerCore::Events::DomainEvent do
  subject(:event) do
    described_class.new(TaskerCore::JsonText.parse(JSON.generate(message)),
                        traceparent: "00-#{'a' * 32}-#{'b' * 16}-01")
  end

  let(:message) do
    {
      event_id: "e", event_name: "order.paid", event_version: "1.0",
      payload: { task_sequence_step: { task_name: "order", context: { order_id: 7 } },
                 execution_result: { result: { ok: true } },
                 payload: { amount: 5 } },
      metadata: { task_uuid: "t", step_uuid: "s", step_name: "charge", namespace: "orders", correlation_id: "c",
                  fired_at: "2025-06-01T12:00:00.5Z", fired_by: "worker" }
    }
  end

  it "has what was published, and by whom" do
    expect(event).to have_attributes(
      event_id: "e", name: "order.paid", event_name: "order.paid", event_version: "1.0", task_uuid: "t",
      step_uuid: "s", step_name: "charge", namespace: "orders", correlation_id: "c", fired_by: "worker",
      fired_at: Time.utc(2025, 6, 1, 12, 0, 0.5r), payload: { amount: 5 }, task_context: { order_id: 7 },
      step_result: { ok: true }
    )
    expect(event.payload["amount"]).to eq(5)
    expect(event.to_h[:payload][:payload]).to eq(amount: 5)
    expect(event.context).to have_attributes(trace_id: "a" * 32, correlation_id: "c")
  end

  it "can be matched, and does not show its payload" do
    case event
    in { name: "order.paid", payload: { amount: }, metadata: { namespace: } }
      expect([amount, namespace]).to eq([5, "orders"])
    end
    expect(event.inspect).to eq("#<TaskerCore::Events::DomainEvent order.paid e>")
  end

  it "goes without what is not there" do
    bare = described_class.new(TaskerCore::JsonText.parse('{"event_name":"a.b"}'))
    expect(bare).to have_attributes(payload: nil, task_context: nil, fired_at: nil, context: nil, task_uuid: nil)
  end
end
