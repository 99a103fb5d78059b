# frozen_string_literal: true

RSpec.describe TaskerCore::TemplateDsl do
  before { stub_const("FetchCart", Class.new(TaskerCore::StepHandler)) }

  it "makes the document a YAML file makes" do
    document = described_class.document("order", namespace: :orders) do
      version "1.1.0"
      description "Charges a card."
      input_schema type: "object"
      step :fetch_cart, handler: FetchCart, config: { limit: 3 }
      step :charge, handler: "charge.card", depends_on: :fetch_cart, timeout: 30, retry: { max_attempts: 5 }
    end
    expect(document).to eq(
      name: "order", namespace: "orders", version: "1.1.0", description: "Charges a card.",
      input_schema: { type: "object" },
      steps: [
        { name: "fetch_cart", handler: "FetchCart", dependencies: [], config: { limit: 3 } },
        { name: "charge", handler: "charge.card", dependencies: ["fetch_cart"], timeout_seconds: 30,
          retry: { max_attempts: 5 } }
      ]
    )
  end

  it "declares the events that a step publishes" do
    stub_const("PaymentEvents", Class.new(TaskerCore::BasePublisher))
    paid = { name: "payment.processed", condition: :success, delivery_mode: :durable, publisher: PaymentEvents,
             schema: { type: "object" }, key: "{/input/order_id}", description: "Paid." }
    document = described_class.document("order") do
      step :one, handler: "One", publishes: [paid, "order.seen", :"order.noted"]
      step :two, handler: "Two", publishes_events: { "name" => "a.b", "publisher" => "AEvents" }
      step :three, handler: "Three", publishes: []
    end
    one, two, three = document[:steps]
    expect(one[:publishes_events]).to eq([{ **paid, publisher: "PaymentEvents" }, { name: "order.seen" },
                                          { name: "order.noted" }])
    expect(two[:publishes_events]).to eq([{ name: "a.b", publisher: "AEvents" }])
    expect(three).not_to have_key(:publishes_events)
  end

  it "says what is wrong with a declaration" do
    { [5] => /order, step one: publishes: give names or Hashes, not 5/,
      [{ name: "a.b", publisher: Class.new }] => /the publisher class has no name/ }.each do |publishes, message|
      expect { described_class.document("order") { step :one, handler: "One", publishes: publishes } }
        .to raise_error(TaskerCore::TemplateError, message)
    end
  end

  it "refuses handlers without a name" do
    expect { described_class.document("order") { step :one, handler: Class.new } }
      .to raise_error(TaskerCore::TemplateError, /order, step one: the handler class has no name/)
  end

  it "refuses options it does not know" do
    expect { described_class.document("order") { step :one, handler: "One", dependson: [] } }
      .to raise_error(TaskerCore::TemplateError,
                      /unknown option dependson; known options: handler, depends_on.*publishes/)
  end

  it "wants a block" do
    expect { described_class.document("order") }.to raise_error(TaskerCore::TemplateError, /give it a block/)
  end
end
