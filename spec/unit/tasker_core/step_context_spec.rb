# frozen_string_literal: true

RSpec.describe TaskerCore::StepContext do
  subject(:step) do
    step_context(context: { order_id: 7 }, dependencies: { cart: { total: 12 }, rate: nil }, config: { tax: 0.19 },
                 attempt: 2, timeout_seconds: 1.5, traceparent: "00-aa-bb-01", parent_correlation_id: "parent")
  end

  it "reads input, config and dependencies, with Symbols or Strings" do
    expect(step.input).to eq(order_id: 7)
    expect(step.input["order_id"]).to eq(7)
    expect(step.config[:tax]).to eq(0.19)
    expect(step.dependency(:cart)).to eq(total: 12)
    expect(step.dependency("cart")["total"]).to eq(12)
    expect(step.dependencies.keys).to eq(%i[cart rate])
  end

  it "parses once" do
    expect(step.input).to equal(step.input)
    expect(step.dependency(:cart)).to equal(step.dependency("cart"))
  end

  it "knows a dependency without a result from a step it does not depend on" do
    expect(step.dependency(:rate)).to be_nil
    expect { step.dependency(:carts) }
      .to raise_error(TaskerCore::UnknownDependencyError, /does not depend on carts; its dependencies: cart, rate/)
    expect { step_context.dependency(:cart) }.to raise_error(TaskerCore::UnknownDependencyError, /none/)
  end

  it "knows its attempt" do
    expect(step).to have_attributes(attempt: 2, max_attempts: 3, last_attempt?: false, timeout_seconds: 1.5)
    expect(step_context(attempt: 3)).to be_last_attempt
    expect(step_context.timeout_seconds).to be_nil
  end

  it "knows who it is" do
    event = step_event
    context = described_class.new(event)
    %i[event_id task_uuid step_uuid correlation_id trace_id span_id].each do |name|
      expect(context.public_send(name)).to eq(event[name])
    end
    expect(context).to have_attributes(namespace: "default", task_name: "order", step_name: "charge", handler: "charge")
    expect(step).to have_attributes(traceparent: "00-aa-bb-01", parent_correlation_id: "parent")
  end

  it "works without trace ids" do
    expect(step_context(trace_id: nil, span_id: nil)).to have_attributes(trace_id: nil, span_id: nil, traceparent: nil)
  end

  it "shows no payload when it is inspected" do
    expect(step_context(context: { secret: "hunter2" }).inspect).to include("charge").and(not_include("hunter2"))
  end

  RSpec::Matchers.define_negated_matcher :not_include, :include
end
