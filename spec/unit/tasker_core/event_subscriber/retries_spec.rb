# frozen_string_literal: true

RSpec.describe TaskerCore::EventSubscriber::Retries do
  let(:failure) { { retryable: true, retry_after: nil } }

  def delays(count, **options)
    retries = described_class.new(max_attempts: count + 1, jitter: 0, **options)
    (1..count).map { |attempt| retries.delay(attempt, failure) }
  end

  it "waits as a step's retry does" do
    expect(delays(5, base: 2)).to eq([2.0, 4.0, 8.0, 16.0, 32.0])
    expect(delays(3, backoff: :linear, base: 2)).to eq([2.0, 4.0, 6.0])
    expect(delays(6, backoff: "fibonacci")).to eq([1.0, 1.0, 2.0, 3.0, 5.0, 8.0])
    expect(delays(2, backoff: :none)).to eq([0.0, 0.0])
    expect(delays(4, base: 10, cap: 25)).to eq([10.0, 20.0, 25.0, 25.0])
  end

  it "spreads the waits by the jitter, within the cap" do
    retries = described_class.new(base: 10, jitter: 0.5, cap: 12)
    waits = Array.new(200) { retries.delay(1, failure) }
    expect(waits.min).to be_between(5, 8)
    expect(waits.max).to eq(12.0)
  end

  it "ends after max_attempts, and at once with what no attempt would help" do
    retries = described_class.new(max_attempts: 2)
    expect(retries.delay(1, failure)).to be_between(0.9, 1.1)
    expect(retries.delay(2, failure)).to be_nil
    expect(retries.delay(1, failure.merge(retryable: false))).to be_nil
    expect(retries.delay(1, failure.merge(retry_after: 7))).to eq(7.0)
  end

  it "refuses what makes no sense, by name" do
    { max_attempts: 0, backoff: :cubic, base: -1, cap: "x", jitter: 2, tries: 3 }.each do |name, value|
      expect { described_class.new(name => value) }.to raise_error(TaskerCore::InvalidInputError, /#{name}/)
    end
  end
end
