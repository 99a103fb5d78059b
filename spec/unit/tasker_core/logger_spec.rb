# frozen_string_literal: true

RSpec.describe TaskerCore::Logger do
  subject(:logger) { described_class.new.tap { |logger| logger.level = :debug } }

  # What crosses the boundary: severity, message, fields, traceparent, correlation_id.
  let(:lines) { [] }

  before { allow(TaskerCore::Native).to receive(:log) { |*line| lines << line } }

  it "is a Logger, with its levels and their questions" do
    expect(logger).to be_a(Logger)
    logger.level = Logger::WARN
    expect([logger.debug?, logger.info?, logger.warn?, logger.error?]).to eq([false, false, true, true])
    logger.level = "info"
    expect(logger).to be_info
  end

  it "takes its level from the environment until it is set" do
    allow(TaskerCore::Native).to receive(:log_level).and_return(2, 0, 3)
    fresh = described_class.new
    expect(fresh.level).to eq(2)
    fresh.follow_settings
    expect(fresh.level).to eq(0)
    fresh.level = :info
    fresh.follow_settings
    expect(fresh.level).to eq(1)
  end

  it "keeps every field" do
    fields = (1..30).to_h { |number| [:"field#{number}", number] }
    expect(logger.info("many", **fields)).to be(true)
    expect(lines).to eq([[1, "many", fields, nil, nil]])
  end

  it "takes the message from a block, and calls it only for a line that is written" do
    logger.level = :info
    logger.debug { raise "never" }
    logger.info("shop") { "opened" }
    expect(lines).to eq([[1, "opened", { progname: "shop" }, nil, nil]])
  end

  it "writes every severity" do
    %i[debug info warn error fatal unknown].each { |severity| logger.public_send(severity, "x") }
    expect(lines.map(&:first)).to eq([0, 1, 2, 3, 4, 5])
  end

  it "adds as the standard library's does" do
    logger.add(Logger::WARN, "message", "shop")
    logger.add(Logger::WARN, nil, "the message after all")
    logger.add(Logger::WARN) { "from the block" }
    logger.log(nil, "unknown")
    expect(lines.map { |line| line[0..2] }).to eq([[2, "message", { progname: "shop" }],
                                                   [2, "the message after all", nil],
                                                   [2, "from the block", nil], [5, "unknown", nil]])
  end

  it "writes what is shovelled into it" do
    logger << "one\n" << "two"
    expect(lines.map { |line| line[1] }).to eq(%w[one two])
  end

  it "writes an exception with its class and where it was raised" do
    raise ArgumentError, "no such thing"
  rescue ArgumentError => e
    logger.error(e)
    expect(lines.first[1]).to eq("no such thing (ArgumentError)")
    expect(lines.first[2]).to include("exception.type": "ArgumentError",
                                      "exception.stacktrace": a_string_including("logger_spec.rb"))
  end

  it "masks what must not be seen" do
    logger.info("signed in", user: 1, password: "hunter2", nested: { "api_key" => "k" })
    expect(lines.first[2]).to eq(user: 1, password: "[FILTERED]", nested: ['{"api_key":"[FILTERED]"}'])
  end

  it "never raises" do
    object = Object.new.tap { |it| def it.to_s = raise("no") }
    expect(logger.info("odd", object: object)).to be(true)
    allow(TaskerCore::Telemetry::Context).to receive(:current).and_raise("broken")
    expect(logger.info("odd")).to be(true)
    expect(lines.last[1]).to eq("a log line could not be written: RuntimeError")
  end

  it "makes any message text" do
    latin = "f\xFCr".dup.force_encoding("ISO-8859-1")
    [nil, 5, :symbol, { password: 1 }, "\xff".b, latin].each { |message| logger.info(message) }
    expect(lines.map { |line| line[1] }).to eq(["nil", "5", ":symbol", '{"password":"[FILTERED]"}', "\uFFFD", "für"])
  end

  describe "tags" do
    it "keeps them for the block, and for this fiber" do
      logger.tagged("a", ["b", ""]) do
        logger.info("in")
        Thread.new { logger.info("elsewhere") }.join
      end
      logger.info("after")
      expect(lines.map { |line| line[2] }).to eq([{ tags: ['["a","b"]'] }, nil, nil])
    end

    it "gives a logger of their own without a block" do
      logger.tagged("a").tagged("b").info("in")
      logger.info("not")
      expect(lines.map { |line| line[2] }).to eq([{ tags: ['["a","b"]'] }, nil])
    end

    it "pushes, pops and clears them" do
      logger.push_tags("a", "b")
      expect(logger.pop_tags).to eq(["b"])
      expect(logger.current_tags).to eq(["a"])
      logger.clear_tags!
      expect(logger.current_tags).to eq([])
    end

    it "takes those that a formatter keeps, as ActiveSupport's does" do
      logger.formatter = Struct.new(:current_tags).new(["request"])
      logger.info("in")
      expect(lines.first[2]).to eq(tags: ['["request"]'])
    end
  end

  it "is silent for a block, in this fiber" do
    logger.silence do |silent|
      silent.info("no")
      silent.error("yes")
      Thread.new { logger.info("elsewhere") }.join
    end
    logger.info("after")
    expect(lines.map { |line| line[1] }).to eq(%w[yes elsewhere after])
  end

  it "has a level of this fiber alone, as ActiveSupport's loggers do" do
    logger.local_level = :error
    Thread.new { logger.info("elsewhere") }.join
    logger.info("no")
    expect([logger.local_level, logger.level]).to eq([Logger::ERROR, Logger::ERROR])
    expect { logger.local_level = "error" }.to raise_error(ArgumentError, /Logger::ERROR or :error or nil, not "error"/)
    logger.local_level = nil
    logger.info("after")
    expect(lines.map { |line| line[1] }).to eq(%w[elsewhere after])
  ensure
    logger.local_level = nil
  end

  it "carries the ids of the span it is written in" do
    TaskerCore.span("outer") { |span| logger.info("in") && @traceparent = span.traceparent }
    expect(lines.first[3]).to eq(@traceparent)
  end

  it "carries the correlation id of its step" do
    step = step_context(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    TaskerCore::Telemetry::Context.with_step(step) { logger.info("in") }
    expect(lines.first.last(2)).to eq([step.traceparent, step.correlation_id])
  end

  it "tolerates what is asked of a Logger with a device" do
    logger.formatter = Logger::Formatter.new
    logger.datetime_format = "%H"
    expect { logger.close }.not_to raise_error
    expect { logger.reopen }.not_to raise_error
    expect { logger.flush }.not_to raise_error
  end
end
