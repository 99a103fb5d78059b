# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Settings do
  def json(changes = {})
    JSON.parse(described_class.new(changes).to_json)
  end

  it "is what was configured, and what was changed since" do
    configure(telemetry: { endpoint: "http://here:1", "service_name" => "shop" })
    expect(json(endpoint: "http://there:2"))
      .to eq("endpoint" => "http://there:2", "service_name" => "shop")
  end

  it "writes pairs as the variables do" do
    configure(telemetry: { headers: { authorization: "Basic a,b%", "x-tenant" => :a }, trace_sample: { orders: 1.0 },
                           step_sample: { bulk: 0.1 } })
    expect(json).to eq("headers" => "authorization=Basic%20a%2Cb%25,x-tenant=a", "trace_sample" => "orders=1.0",
                       "step_sample" => "bulk=0.1")
  end

  it "does not change when another one is made from it" do
    first = described_class.new(enabled: true)
    first.merge(enabled: false)
    expect(JSON.parse(first.to_json)).to eq("enabled" => true)
  end
end
