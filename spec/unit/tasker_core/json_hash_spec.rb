# frozen_string_literal: true

RSpec.describe TaskerCore::JsonHash do
  subject(:hash) { TaskerCore::JsonText.parse('{"order":{"lines":[{"sku":"TEA"}]},"total":12}') }

  it "is read with Symbols or Strings, at any depth" do
    expect(hash[:total]).to eq(12)
    expect(hash["total"]).to eq(12)
    expect(hash.dig("order", :lines, 0, "sku")).to eq("TEA")
    expect(hash.fetch("total")).to eq(12)
    expect(hash.values_at("total", :missing)).to eq([12, nil])
    expect(hash.key?("order")).to be(true)
    expect(hash.slice("total")).to eq(total: 12)
    expect(hash.except("order")).to eq(total: 12)
  end

  it "can be matched and splatted, as any Hash with Symbol keys" do
    hash => { order: { lines: [{ sku: }] } }
    expect(sku).to eq("TEA")
    expect({ **hash }).to eq(hash)
  end

  it "fetches as Hash does" do
    expect { hash.fetch("missing") }.to raise_error(KeyError)
    expect(hash.fetch("missing", 1)).to eq(1)
    expect(hash.fetch("missing") { |key| key }).to eq(:missing)
  end

  it "becomes JSON again" do
    expect(JSON.parse(JSON.generate(hash))).to eq("order" => { "lines" => [{ "sku" => "TEA" }] }, "total" => 12)
  end
end
