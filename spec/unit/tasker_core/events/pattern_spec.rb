# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Pattern do
  def matching(pattern, *names)
    names.select { |name| described_class.new(pattern).match?(name) }
  end

  it "matches a name, words with *, any number of words with #" do
    names = %w[order order.paid order.paid.late orders.paid order_paid.x x.order.paid]
    {
      "order.paid" => %w[order.paid], "order.*" => %w[order.paid], "*.paid" => %w[order.paid orders.paid],
      "order.#" => %w[order order.paid order.paid.late], "#.paid" => %w[order.paid orders.paid x.order.paid],
      "order.#.late" => %w[order.paid.late], "#" => names, "*" => %w[order], "#.#" => names,
      "#.order.#" => %w[order order.paid order.paid.late x.order.paid], "*.*.*" => %w[order.paid.late x.order.paid]
    }.each { |pattern, expected| expect([pattern, matching(pattern, *names)]).to eq([pattern, expected]) }
  end

  it "takes a dot for a dot, and the whole name" do
    expect(matching("a.b", "axb", "a.b\n", "xa.b", "a.bx", "a.b.c", "a", "")).to eq([])
  end

  it "says what is wrong with a pattern" do
    { "" => /""/, "a..b" => /""/, ".a" => /""/, "order*" => /"order\*"/, "a b.c" => /"a b"/, "a.\0" => /u0000/,
      "a.\xFF" => /cannot be a pattern/, "x" * 300 => /256 characters at most/ }.each do |pattern, message|
      expect { described_class.new(pattern) }.to raise_error(TaskerCore::InvalidInputError, message)
    end
  end

  it "is not slow with many #" do
    pattern = described_class.new("#{Array.new(20) { '#' }.join('.x.')}.z")
    expect(Timeout.timeout(2) { pattern.match?(Array.new(60) { "x" }.join(".")) }).to be(false)
  end
end
