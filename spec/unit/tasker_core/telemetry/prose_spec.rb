# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Prose do
  def mask(text)
    secrets = %w[password token Authorization card.number user.card.code]
    described_class.mask(text, "***") { |key, path| secrets.include?(key) || secrets.include?("#{path}.#{key}") }
  end

  it "masks what follows a key" do
    {
      "password=hunter2&x=1" => "password=***&x=1",
      "GET /pay?token=abc;x=1 failed" => "GET /pay?token=***;x=1 failed",
      'bad {"password": "hun\\"ter2", "x": 1}' => 'bad {"password": ***, "x": 1}',
      'undefined method for {:password=>"hunter2", :x=>1}' => "undefined method for {:password=>***, :x=>1}",
      "undefined method for {password: 'hunter2'}" => "undefined method for {password: ***}",
      "#<User @password=\"hunter2\", @x=1>" => "#<User @password=***, @x=1>",
      "DETAIL: Key (password)=(hunter2) exists" => "DETAIL: Key (password)=*** exists",
      "Authorization: Bearer abc.def, x" => "Authorization: ***, x",
      'in JSON: "{\\"password\\":\\"hunter2\\",\\"x\\":1}"' => 'in JSON: "{\\"password\\":***,\\"x\\":1}"',
      'token: {"a": [1, "}"], "b": {}} and more' => "token: *** and more",
      "card.number = 4111 1111" => "card.number = *** 1111",
      "token: [not closed" => "token: ***",
      'password: "not closed' => "password: ***",
      "{:card=>{:number=>1, :x=>2}, :number=>3}" => "{:card=>{:number=>***, :x=>2}, :number=>3}",
      '{"user": {"id": {}, "card": {"code": 1}}, "code": 2}' =>
        '{"user": {"id": {}, "card": {"code": ***}}, "code": 2}',
      "é: password=hunter2é ü" => "é: password=*** ü",
      "two: password=a token=b." => "two: password=*** token=***"
    }.each { |text, masked| expect(mask(text)).to eq(masked) }
  end

  it "leaves the rest as it is" do
    ["", "password", "password:", "password = ", "no such password, token or key", "my_password=1", "x: password",
     "at 12:30: nothing", "http://host:80/?a=b", "ü=password ä"].each { |text| expect(mask(text)).to equal(text) }
  end

  it "masks a second time what it masked, and no more" do
    text = "password=[FILTERED] token: [FILTERED], x=1"
    expect(described_class.mask(text, "[FILTERED]") { |key| %w[password token].include?(key) }).to eq(text)
  end

  it "is not slow, whatever the text" do
    hostile = ["a" * 60_000, "password=" * 7_000, "password=#{'{' * 60_000}", "token: \"#{'\\' * 60_000}",
               "(" * 60_000, "password: #{'"' * 60_000}", "- " * 30_000, "token#{' ' * 60_000}=x", "a:" * 30_000]
    hostile += hostile.map { |text| "ü: #{text}ü" }
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    hostile.each { |text| mask(text) }
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 5
  end
end
