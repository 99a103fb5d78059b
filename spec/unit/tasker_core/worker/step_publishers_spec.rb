# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::StepPublishers do
  let(:bridge) { EventSupport::RecordingBridge.new }
  let(:lines) { [] }

  before do
    allow(TaskerCore.logger).to receive(:error) { |line, **| lines << line }
    stub_const("PaymentEvents", Class.new(TaskerCore::BasePublisher) do
      def transform_payload(step_result, declaration, step_context)
        { event: declaration[:name], mode: declaration[:delivery_mode], order: step_context.input[:order_id],
          step: step_result.slice(:success, :result, :error), attempt: step_result.dig(:metadata, :attempt_number) }
      end
    end)
    stub_const("Raising", Class.new(TaskerCore::BasePublisher) { def transform_payload(*) = raise(IOError, "no rate") })
    stub_const("Passing", Class.new(TaskerCore::BasePublisher))
  end

  # The completion of a step with these declarations.
  def complete(*declarations, attempt: 1, &handler)
    registry = TaskerCore::HandlerRegistry.new("charge" => handler || ->(_step) { { total: 5 } })
    subscriber = TaskerCore::Worker::Subscriber.new(registry: registry, bridge: bridge)
    event = step_event(attempt: attempt).merge(publishers: declarations)
    subscriber.call(TaskerCore::Worker::EventBridge.instance.wrap_step_execution_event(event))
    bridge.published.last
  end

  def payloads(completion)
    completion[:payloads] && JSON.parse(completion[:payloads], symbolize_names: true)
  end

  it "makes the payload of what a step declares, from its result" do
    completion = complete(["order.paid", "PaymentEvents", "success", "broadcast"])
    expect(completion).to include(success: true, result: '{"total":5}')
    expect(payloads(completion)).to eq(
      "order.paid": { event: "order.paid", mode: "broadcast", order: 1, attempt: 1,
                      step: { success: true, result: { total: 5 }, error: nil } }
    )
    expect(payloads(complete(["order.paid", "Passing", nil]))).to eq("order.paid": { total: 5 })
  end

  it "runs those whose condition the outcome meets" do
    all = %w[success failure retryable_failure permanent_failure always].map { |each| ["a.#{each}", "Passing", each] }
    ran = ->(completion) { payloads(completion).keys.map { |name| name.to_s.delete_prefix("a.") } }
    expect(ran.call(complete(*all))).to eq(%w[success always])
    expect(ran.call(complete(*all) { raise "no" })).to eq(%w[failure retryable_failure always])
    expect(ran.call(complete(*all, attempt: 3) { raise "no" })).to eq(%w[failure permanent_failure always])
    expect(ran.call(complete(*all) { raise TaskerCore::PermanentError })).to eq(%w[failure permanent_failure always])
    expect(complete(["a.b", "Raising", "failure"])).not_to have_key(:payloads)
  end

  it "knows the error of a failed attempt" do
    refused = ->(_step) { raise TaskerCore::PermanentError.new("no", code: 7) }
    made = payloads(complete(["order.refused", "PaymentEvents", "failure"], &refused))
    error = { class: "TaskerCore::PermanentError", message: "no", code: "7", field: nil }
    expect(made[:"order.refused"][:step]).to eq(success: false, result: nil, error: error)
  end

  it "fails the attempt when a publisher of a durable event raises" do
    completion = complete(["order.paid", "Raising", "success", "durable"], ["a.always", "Passing", "always"])
    expect(completion).to include(success: false, result: nil, error: include(class: "IOError", message: "no rate"))
    expect(payloads(completion)).to eq("a.always": {})
    expect(lines).to eq([])
  end

  it "leaves the attempt as it is when it has failed already, or the event is fast" do
    failed = complete(["order.refused", "Raising", "failure"]) { raise "first" }
    expect(failed[:error]).to include(message: "first")
    fast = complete(["order.seen", "Raising", "success", "fast"], ["order.paid", "Passing", "success", "durable"])
    expect(fast).to include(success: true)
    expect(payloads(fast).keys).to eq([:"order.paid"])
    expect(lines).to eq(%w[order.refused order.seen].map { |name| "Error publishing event #{name} : no rate" })
  end

  it "runs nothing in a thread that is being killed" do
    Thread.new { complete(["a.b", "PaymentEvents", "always"]) { Thread.exit } }.join
    completion = bridge.published.last
    expect(completion[:error]).to include(class: "TaskerCore::HandlerKilledError")
    expect(completion).not_to have_key(:payloads)
  end

  it "says which publisher cannot be used" do
    stub_const("Silent", Class.new)
    { "Nowhere" => /event a.b: no publisher "Nowhere" \(uninitialized constant Nowhere\)/,
      "no class" => /not the name of a class/,
      "Silent" => /Silent does not define transform_payload\(/ }.each do |name, message|
      expect(complete(["a.b", name, "success"])[:error])
        .to include(class: "TaskerCore::PublisherNotFoundError", message: message, retryable: true)
    end
  end

  it "fails the attempt for good when a payload cannot be written" do
    stub_const("Odd", Class.new { def transform_payload(*) = { rate: Float::NAN } })
    stub_const("Large", Class.new { def transform_payload(*) = { text: "x" * 300_000 } })
    expect(complete(["a.b", "Odd", "success"])[:error])
      .to include(class: "TaskerCore::UnserializableResultError", message: /event a.b: what Odd returned: .*NaN/,
                  retryable: false)
    expect(complete(["a.b", "Large", "success"])[:error])
      .to include(class: "TaskerCore::ResultTooLargeError", message: /300011 bytes of JSON; the limit is 262144/)
  end

  it "runs in the handler's thread and trace" do
    seen = nil
    looking = Class.new do
      define_method(:transform_payload) do |*|
        seen = [Thread.current, TaskerCore::Telemetry::Context.step&.step_name]
        {}
      end
    end
    stub_const("Looking", looking)
    complete(["a.b", "Looking", "success"])
    expect(seen).to eq([Thread.current, "charge"])
  end
end
