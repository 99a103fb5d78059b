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

  it "refuses handlers without a name" do
    expect { described_class.document("order") { step :one, handler: Class.new } }
      .to raise_error(TaskerCore::TemplateError, /order, step one: the handler class has no name/)
  end

  it "refuses options it does not know" do
    expect { described_class.document("order") { step :one, handler: "One", dependson: [] } }
      .to raise_error(TaskerCore::TemplateError, /unknown option dependson; known options: handler, depends_on/)
  end

  it "wants a block" do
    expect { described_class.document("order") }.to raise_error(TaskerCore::TemplateError, /give it a block/)
  end
end
