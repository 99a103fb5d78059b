# frozen_string_literal: true

RSpec.describe TaskerCore::Worker::Failure do
  def describe_error(error = nil)
    raise error if error

    yield
  rescue Exception => e # rubocop:disable Lint/RescueException
    described_class.describe(e)
  end

  it "keeps class, message and backtrace" do
    described = describe_error(ArgumentError.new("no"))
    expect(described).to include(class: "ArgumentError", message: "no", retryable: true, code: nil, field: nil)
    expect(described[:backtrace].first).to include("failure_spec.rb")
  end

  it "retries everything but permanent errors and their kind" do
    retried = [StandardError, TaskerCore::RetryableError, NoMemoryError, NotImplementedError, SecurityError,
               SystemStackError, Interrupt, TaskerCore::HandlerNotFoundError, TaskerCore::HandlerKilledError]
    final = [TaskerCore::PermanentError, TaskerCore::ValidationError, TaskerCore::UnserializableResultError,
             TaskerCore::ResultTooLargeError, TaskerCore::UnknownDependencyError]
    expect(retried.map { |error| describe_error(error.new("x"))[:retryable] }).to all(be(true))
    expect(final.map { |error| describe_error(error.new("x"))[:retryable] }).to all(be(false))
  end

  it "keeps what a handler said about the retry, the code and the field" do
    expect(describe_error(TaskerCore::RetryableError.new("x", retry_after: 5))).to include(retry_after: 5.0)
    expect(describe_error(TaskerCore::ValidationError.new("x", field: :amount, code: 42)))
      .to include(field: "amount", code: "42")
  end

  it "ignores a retry_after that is no number of seconds" do
    [-1, Float::NAN, "soon", Float::INFINITY, Object.new].each do |value|
      expect(describe_error(TaskerCore::RetryableError.new("x", retry_after: value))[:retry_after]).to be_nil
    end
    expect(describe_error(TaskerCore::RetryableError.new("x", retry_after: "1.5"))[:retry_after]).to eq(1.5)
  end

  it "says what exit, abort and throw were" do
    expect(describe_error { exit(3) }[:message]).to eq("the handler called exit or abort (status 3): exit")
    expect(describe_error { throw(:done) }[:message]).to start_with("the handler threw: uncaught throw :done")
  end

  it "is bounded, and always valid UTF-8" do
    described = describe_error(RuntimeError.new("\xFF\xFE#{'ü' * 20_000}"))
    expect(described[:message]).to be_valid_encoding
    expect(described[:message].bytesize).to be < 10_400
    expect(describe_error(RuntimeError.new("gr\xC3\xBC".b))[:message]).to eq("grü")
    deep = ->(depth) { depth.zero? ? raise("deep") : deep.call(depth - 1) }
    expect(describe_error { deep.call(100) }[:backtrace].size).to eq(50)
  end

  it "survives exceptions whose own methods raise" do
    hostile = Class.new(StandardError) do
      def message = raise(NoMemoryError, "no")
      def code = raise("no")
    end
    expect(describe_error(hostile.new)).to include(message: /own message raised NoMemoryError/, code: nil,
                                                   class: /anonymous/)
  end

  it "describes every exception, whatever raises meanwhile" do
    HostileExceptions::CLASSES.each do |what, error|
      described = described_class.describe(error.allocate)
      expect(described).to include(class: String, message: String, retryable: true), what
      expect(described.keys).to eq(described_class::UNKNOWN.keys), what
    end
    permanent = Class.new(TaskerCore::PermanentError) { def code = raise(NotImplementedError) }
    expect(described_class.describe(permanent.new("no"))).to include(message: "no", code: nil, retryable: false)
  end

  it "works without a backtrace" do
    expect(described_class.describe(RuntimeError.new("x"))[:backtrace]).to eq([])
  end
end
