# frozen_string_literal: true

RSpec.describe TaskerCore::EventSubscriber do
  after { described_class.reset }

  def subscriber(name = "Receipts", &block)
    stub_const(name, Class.new(described_class)).class_eval(&block)
  end

  it "keeps what a class asks for" do
    subscriber { subscribes_to "payment.*", "order.#", group: :billing, from: Time.at(5), ordered: true }
    document = JSON.parse(Receipts.subscription.to_json)
    expect(document).to eq("name" => "billing", "patterns" => ["payment.*", "order.#"], "from" => 5.0,
                           "key_order" => true)
    expect(Receipts.subscription).to have_attributes(concurrency: 1, lease: 10.0, ordered?: true)
    wanted = %w[payment.made order order.a.b cart.filled payment].map { |name| Receipts.subscription.wants?(name) }
    expect(wanted).to eq([true, true, true, false, false])
  end

  it "refuses at once what could not work, and says which class it was" do
    { "no pattern" => [["pay*"], {}], "name the events" => [[], {}], "from must be" => [["a"], { from: "soon" }],
      "concurrency" => [["a"], { concurrency: 0 }], "lease" => [["a"], { lease: 100 }],
      "max_attempts" => [["a"], { retry: { max_attempts: 0 } }],
      "unknown option orderd" => [["a"], { orderd: true }] }.each do |reason, (patterns, options)|
      expect { subscriber { subscribes_to(*patterns, group: "g", **options) } }
        .to raise_error(TaskerCore::InvalidInputError, /#{Regexp.escape(reason)}/)
    end
    expect do
      subscriber do
        subscribes_to "a", group: ""
      end
    end.to raise_error(TaskerCore::InvalidInputError, /Receipts.*name/)
  end

  it "gives a group to one class only, and to that one again when it is loaded again" do
    subscriber { subscribes_to "a", group: "g" }
    subscriber { subscribes_to "b", group: "g" }
    expect(JSON.parse(Receipts.subscription.to_json)["patterns"]).to eq(["b"])
    expect { subscriber("Others") { subscribes_to "a", group: "g" } }
      .to raise_error(TaskerCore::ConfigurationError, /Receipts subscribes to group "g" already; give Others another/)
  end

  it "needs a subscriber to run" do
    expect { described_class.run }.to raise_error(TaskerCore::ConfigurationError, /no subscriber is loaded/)
    expect do
      described_class.start(only: [described_class])
    end.to raise_error(TaskerCore::ConfigurationError, /to nothing/)
  end
end
