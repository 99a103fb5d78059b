# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Publication do
  def document(text)
    JSON.parse(text, symbolize_names: true)
  end

  it "has an id of version 7, which sorts by time" do
    ids = Array.new(2000) { described_class.uuid }
    expect(ids).to all(match(/\A\h{8}-\h{4}-7\h{3}-[89ab]\h{3}-\h{12}\z/))
    expect(ids.uniq.size).to eq(2000)
    stamps = ids.map { |id| id.delete("-")[0, 12].to_i(16) }
    expect(stamps.first).to be_within(10_000).of(Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond))
    # Two within a quarter of a microsecond may come either way.
    expect(ids.map { |id| id[0, 18] }).to eq(ids.map { |id| id[0, 18] }.sort)
  end

  it "is what a completion carries" do
    payload = { amount: 5, at: Time.utc(2025) }
    publication = described_class.new("order.paid", payload, key: 7)
    payload[:amount] = 6
    step = step_context
    id = publication.collect(step)
    expect(JSON.parse(step.collected, symbolize_names: true))
      .to eq([{ event_id: id, name: "order.paid", delivery_mode: "durable", key: "7",
                payload: { amount: 5, at: "2025-01-01T00:00:00.000000Z" } }])
  end

  it "is what is written at once, with the step and the trace that it came from" do
    step = step_context(namespace: "orders")
    context = TaskerCore::Telemetry::Context.new("00-#{'a' * 32}-#{'b' * 16}-01", correlation_id: "c")
    publication = described_class.new(:"order.paid", {}, delivery_mode: "fast")
    expect(document(publication.request(step, context)))
      .to eq(name: "order.paid", namespace: "orders", delivery_mode: "fast",
             correlation_id: "c", traceparent: context.traceparent, task_uuid: step.task_uuid,
             step_uuid: step.step_uuid, step_name: "charge", payload: {})
    expect(document(publication.request(nil, nil)).keys).to eq(%i[namespace name delivery_mode payload])
    expect(document(publication.request(nil, nil))[:namespace]).to eq("default")
    elsewhere = described_class.new("order.paid", {}, namespace: :billing)
    expect(document(elsewhere.request(step, nil))[:namespace]).to eq("billing")
  end

  it "refuses in a step what cannot be written with it" do
    step = step_context(namespace: "orders")
    described_class.new("order.paid", {}, namespace: "orders").collect(step)
    expect { described_class.new("order.paid", {}, namespace: "billing").collect(step) }
      .to raise_error(TaskerCore::InvalidInputError, /in its namespace, orders; publish with immediate: true/)
    999.times { described_class.new("order.paid", {}).collect(step) }
    expect { described_class.new("order.paid", {}).collect(step) }
      .to raise_error(TaskerCore::InvalidInputError, /has published 1000 events already/)
    expect(JSON.parse(step.collected).size).to eq(1000)
  end

  it "refuses names that are none" do
    ["", "paid", "1a.b", "a.1b", "Order.paid", "order.Paid", "order..paid", ".paid", "order paid.x", "order.paid\n",
     "o\0.x", "\xFF.x",
     "order.#{'x' * 10_000}", 'a."x', nil].each do |name|
      expect { described_class.new(name, {}) }
        .to raise_error(TaskerCore::InvalidInputError, /cannot be the name of an event: write lower-case words/)
    end
  end

  it "refuses what the engine would refuse of the rest" do
    cyclic = {}
    cyclic[:self] = cyclic
    {
      [5] => /payload must be a Hash, not Integer/, [{ a: Float::NAN }] => /payload\[:a\] is NaN/,
      [{ a: Object.new }] => /an instance of Object/, [{ a: "\xFF" }] => /not valid UTF-8/,
      [cyclic] => /contains itself/,
      [{ a: "x" * 10_000_000 }] => /10000008 bytes of JSON; the limit is 262144/,
      [{}, { delivery_mode: :slow }] => /delivery_mode must be one of durable, fast, broadcast, not :slow/,
      [{}, { key: "" }] => /the key must be text of 1 to 255/, [{}, { key: "é" * 128 }] => /the key/,
      [{}, { key: "a\0" }] => /the key/, [{}, { key: "\xFF" }] => /the key/
    }.each do |(payload, options), message|
      expect { described_class.new("order.paid", payload, **options.to_h) }
        .to raise_error(TaskerCore::InvalidInputError, /event order\.paid: .*#{message}/)
    end
  end
end
