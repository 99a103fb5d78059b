# frozen_string_literal: true

RSpec.describe TaskerCore::Events::Subscriptions do
  subject(:subscriptions) { described_class.new { changes << subscriptions.size } }

  let(:changes) { [] }
  let(:event) { TaskerCore::Events::Event.new("step.failed", { a: 1 }, source: :application) }

  it "finds those whose pattern matches, and forgets those that have ended" do
    all, failed, other = %w[# *.failed task.*].map { |pattern| subscriptions.add(pattern, ->(_event) {}) }
    expect(subscriptions.for("step.failed")).to eq([all, failed])
    expect(subscriptions.for("task.failed")).to eq([all, failed, other])
    expect([failed.unsubscribe, failed.unsubscribe]).to eq([true, false])
    expect(subscriptions.for("step.failed")).to eq([all])
    expect(changes).to eq([1, 2, 3, 2])
    subscriptions.clear
    expect(subscriptions).to be_empty
    expect(subscriptions.for("step.failed")).to eq([])
  end

  it "remembers names, but not any number of them" do
    subscriptions.add("#", ->(_event) {})
    expect(subscriptions.for("a.b")).to equal(subscriptions.for("a.b"))
    known = subscriptions.for("a.b")
    described_class::MAX_NAMES.times { |number| subscriptions.for("a.n#{number}") }
    expect(subscriptions.for("a.b")).to eq(known)
    expect(subscriptions.instance_variable_get(:@by_name).size).to be <= described_class::MAX_NAMES
  end

  it "refuses what cannot be called" do
    expect { subscriptions.add("#", nil) }
      .to raise_error(TaskerCore::InvalidInputError, /give a block or an object with call\(event\), not nil/)
  end

  it "counts, and keeps what a subscriber raises to itself" do
    lines = []
    allow(TaskerCore.logger).to receive(:error) { |message, **fields| lines << [message, fields] }
    [-> { raise "password=x" }, -> { exit(3) }, -> { raise NotImplementedError }, -> { throw :x }].each do |bad|
      subscription = subscriptions.add("step.*", ->(_event) { bad.call })
      subscription.call(event)
      expect([subscription.calls, subscription.errors]).to eq([1, 1])
    end
    message, fields = lines.first
    expect(message).to eq("event subscriber raised")
    expect(fields).to include(event_name: "step.failed", pattern: "step.*", "exception.type": "RuntimeError",
                              reason: "password=[FILTERED]", "exception.stacktrace": /subscription_spec/)
    expect(lines.size).to eq(4)
  end

  it "runs a subscriber in the context that the event was published in" do
    context = TaskerCore::Telemetry::Context.new("00-#{'a' * 32}-#{'b' * 16}-01", correlation_id: "c")
    seen = []
    subscription = subscriptions.add("#", ->(_event) { seen << TaskerCore.context })
    subscription.call(TaskerCore::Events::Event.new("a.b", {}, source: :engine, context: context))
    subscription.call(event)
    expect(seen).to eq([context, nil])
  end

  it "calls a subscriber from one thread at a time, and not after its end" do
    inside = running = most = 0
    subscription = nil
    block = lambda do |_event|
      most = [most, running += 1].max
      Thread.pass
      running -= 1
      inside += 1
      subscription.unsubscribe if inside == 50
    end
    subscription = subscriptions.add("#", block)
    Array.new(4) { Thread.new { 25.times { subscription.call(event) } } }.each(&:join)
    expect([inside, most]).to eq([50, 1])
  end

  it "shows no payloads" do
    expect(event.inspect).to eq("#<TaskerCore::Events::Event step.failed source=application>")
    expect(subscriptions.add("a.*", ->(_event) {}).inspect)
      .to eq("#<TaskerCore::Events::Subscription a.* calls=0 errors=0>")
  end
end
