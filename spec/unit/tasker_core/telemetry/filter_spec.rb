# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Filter do
  def masked(*patterns, key, path: nil)
    described_class.new(patterns).masked?(key, path)
  end

  it "knows what is usually secret" do
    %w[password passwd user_password Password passphrase token access_token secret client_secret api_key apiKey
       private_key authorization HTTP_AUTHORIZATION cookie credit_card card_number cardNumber cvv cvc ssn otp_code
       session_id].each { |key| expect([key, masked(key)]).to eq([key, true]) }
    expect(masked(:password)).to be(true)
  end

  it "leaves what is not" do
    %w[amount order_id company idempotency_key description author card_brand notification].each do |key|
      expect([key, masked(key)]).to eq([key, false])
    end
  end

  it "takes Strings and Symbols for parts of keys, in any case" do
    expect(masked("email", :user_EMAIL)).to be(true)
    expect(masked(:email, "e_mail")).to be(false)
  end

  it "takes Regexps as they are" do
    expect(masked(/\Aname\z/, "name")).to be(true)
    expect(masked(/\Aname\z/, "username")).to be(false)
  end

  it "takes what has a dot for a part of the path" do
    expect(masked("address.street", "street", path: "user.address")).to be(true)
    expect(masked("address.street", "street", path: "road")).to be(false)
    expect(masked("address.street", "street")).to be(false)
    expect(masked(/\Auser\.name\z/, "name", path: "user")).to be(true)
  end

  it "shows values to Procs, which may change them in place or not" do
    filter = described_class.new([->(key, value) { value.reverse! if key == "note" }])
    note = "abc"
    expect(filter.censor(:note, note)).to eq("cba")
    expect(note).to eq("abc")
    expect(filter.censor(:other, "abc")).to eq("abc")
  end

  it "is that of the settings of now" do
    configure(filter_parameters: [:email], filter_mask: "***")
    filter = described_class.current
    expect(filter.masked?(:email)).to be(true)
    expect(filter.mask).to eq("***")
    expect(described_class.current).to equal(filter)
    TaskerCore.configuration.filter_parameters << :phone
    expect(described_class.current.masked?(:phone)).to be(true)
  end

  it "asks Rails" do
    config = Struct.new(:filter_parameters).new([:email])
    stub_const("Rails", Struct.new(:application).new(Struct.new(:config).new(config)))
    Rails.singleton_class.define_method(:application) { super() }
    expect(described_class.current.masked?(:email)).to be(true)
  end
end
