# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Fields do
  def plain(value)
    described_class.plain(it: value)[:it]
  end

  it "leaves what is plain" do
    values = { a: "text", b: :symbol, c: 1, d: 1.5, e: true, f: false, g: nil, "h" => 2 }
    expect(described_class.plain(values)).to eq(values)
  end

  it "makes JSON text of what is nested, in an Array" do
    expect(plain([1, :a, nil])).to eq(['[1,"a",null]'])
    expect(plain({ a: { b: [1] } })).to eq(['{"a":{"b":[1]}}'])
  end

  it "masks at every depth" do
    expect(plain({ user: { password: "x", tags: [{ token: 1 }] } }))
      .to eq(['{"user":{"password":"[FILTERED]","tags":[{"token":"[FILTERED]"}]}}'])
    expect(plain({ card: { number: "4111", brand: "visa" } }))
      .to eq(['{"card":{"number":"[FILTERED]","brand":"visa"}}'])
    expect(described_class.plain(card: { number: "4111", brand: "visa" }))
      .to eq(card: ['{"number":"[FILTERED]","brand":"visa"}'])
  end

  it "masks inside what would show its contents" do
    expect(plain(Struct.new(:password, :user).new("x", 1))).to eq(['{"password":"[FILTERED]","user":1}'])
    parameters = Object.new.tap { |it| def it.to_unsafe_h = { "token" => 1, "page" => 2 } }
    expect(plain(parameters)).to eq(['{"token":"[FILTERED]","page":2}'])
    expect(plain(Set[{ secret: 1 }])).to eq(['[{"secret":"[FILTERED]"}]'])
  end

  it "says what JSON or OTLP could not" do
    expect(plain(2**80)).to eq((2**80).to_s)
    expect(plain([Float::NAN])).to eq(['["NaN"]'])
    expect(plain(Time.at(0).utc)).to eq("1970-01-01T00:00:00.000000Z")
    expect(plain(ArgumentError.new("no"))).to eq("ArgumentError: no")
    expect(plain("\xff".b)).to eq("\uFFFD")
  end

  it "bounds what would not end" do
    endless = {}
    endless[:self] = endless
    expect(plain(endless).first).to include("…")
    expect(plain("x" * 100_000).bytesize).to be < 17_000
    expect(JSON.parse(plain(Array.new(5000, 1)).first).size).to eq(1000)
  end

  it "never raises" do
    object = Object.new.tap { |it| def it.to_s = raise("no") }
    expect(plain(object)).to eq("a Object that cannot be shown (RuntimeError)")
  end

  it "gives a filtered copy" do
    hash = { password: "x", list: [{ token: 1 }] }
    expect(TaskerCore::Telemetry.filter(hash))
      .to eq("password" => "[FILTERED]", "list" => [{ "token" => "[FILTERED]" }])
    expect(hash[:password]).to eq("x")
  end
end
