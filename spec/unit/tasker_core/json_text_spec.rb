# frozen_string_literal: true

RSpec.describe TaskerCore::JsonText do
  def generate(value)
    described_class.generate(value)
  end

  it "writes what JSON knows" do
    value = { "a" => 1, b: [true, false, nil, 1.5, "ü"], c: { d: :symbol } }
    expect(generate(value)).to eq('{"a":1,"b":[true,false,null,1.5,"ü"],"c":{"d":"symbol"}}')
    expect(["text", 1, nil, true].map { |plain| generate(plain) }).to eq(['"text"', "1", "null", "true"])
  end

  it "writes times as ISO 8601" do
    expect(generate({ at: Time.utc(2026, 1, 2, 3, 4, 5.25r) })).to eq('{"at":"2026-01-02T03:04:05.250000Z"}')
  end

  it "writes structs, and what has as_json or a to_json of its own" do
    point = Struct.new(:x, :y).new(1, 2)
    rails = Class.new { def as_json(*) = { id: 7 } }.new
    own = Class.new { def to_json(*) = '{"own":true}' }.new
    expect(generate([point, rails, own])).to eq('[{"x":1,"y":2},{"id":7},{"own":true}]')
  end

  it "takes bytes that are UTF-8 for text, and other encodings for what they say" do
    expect(generate("gr\xC3\xBC\xC3\x9F".b)).to eq('"grüß"')
    expect(generate("gr\xFC".dup.force_encoding("ISO-8859-1"))).to eq('"grü"')
  end

  it "writes keys that are not Strings as their text" do
    expect(generate({ 1 => :one, nil => 2 })).to eq('{"1":"one","":2}')
  end

  it "refuses what JSON cannot say, and says where it is" do
    cyclic = []
    cyclic << cyclic
    {
      { total: Float::NAN } => /result\[:total\] is NaN/,
      [1, Float::INFINITY] => /result\[1\] is Infinity/,
      { cart: [Object.new] } => /result\[:cart\]\[0\] is an instance of Object/,
      { "name" => "\xFF" } => /result\["name"\] is not valid UTF-8/,
      { "\xFF" => 1 } => /a key of result is not valid UTF-8/,
      { blob: "\xFF\xFE".b } => /Base64/,
      { Object.new => 1 } => /key that is an instance of Object/,
      cyclic => /nested deeper than 100 levels, or contains itself/
    }.each do |value, message|
      expect { generate(value) }.to raise_error(described_class::Unwritable, message)
    end
  end

  it "refuses objects that JSON's generator would write as #<Object…>" do
    expect { generate(Class.new.new) }.to raise_error(described_class::Unwritable, /has no JSON form/)
  end

  it "parses into Symbol keys, deep ones too" do
    expect(described_class.parse("[" * 120 + "]" * 120)).to be_an(Array)
    expect(described_class.parse('{"a":{"b":1}}')).to eq(a: { b: 1 })
    expect(described_class.parse(nil)).to be_nil
    expect(described_class.parse("null")).to be_nil
  end
end
