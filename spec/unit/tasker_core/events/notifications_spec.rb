# frozen_string_literal: true

# ActiveSupport is loaded in a process of its own: it changes what every object can do.
RSpec.describe TaskerCore::Events::Notifications do
  before do
    missing = Gem::Specification.find_all_by_name("activesupport").empty?
    skip "needs ActiveSupport (on Debian: ruby-activesupport)" if missing
  end

  def run(program)
    names = %w[active_support active_support/notifications tasker_core]
    prelude = "$VERBOSE = nil; #{names.inspect}.each { |name| require name }\n"
    said, errors, status = ruby(program, prelude: prelude)
    expect([errors, status.success?]).to eq(["", true])
    said.lines(chomp: true)
  end

  it "is told of lifecycle events under NAME.tasker_core" do
    expect(run(<<~RUBY)).to eq(["step.failed.tasker_core 1 0", "step.failed.tasker_core 1 0", "false"])
      publisher = Tasker::Events::Publisher.instance
      ActiveSupport::Notifications.subscribe("step.failed.tasker_core") do |name, started, finished, _id, payload|
        payload[:b] = payload[:a] # it is nobody else's
        puts [name, payload[:b], (finished - started).to_i].join(" ")
      end
      publisher.publish("step.failed", { a: 1 })
      publisher.publish("step.completed", { a: 2 })
      publisher.subscribe { |event| }
      publisher.publish("step.failed", { a: 1 })
      publisher.flush
      puts Thread.list.any? { |thread| thread.name == "tasker-bus" }
    RUBY
  end

  it "keeps what its subscribers raise to itself" do
    expect(run(<<~RUBY)).to eq(["b"])
      publisher = Tasker::Events::Publisher.instance
      ActiveSupport::Notifications.subscribe("a.a.tasker_core") { |*| raise "no" }
      ActiveSupport::Notifications.subscribe("a.b.tasker_core") { |*| puts "b" }
      publisher.publish("a.a")
      publisher.publish("a.b")
      publisher.flush
    RUBY
  end

  it "knows whether somebody listens" do
    expect(run(<<~RUBY)).to eq(["false false", "false true", "true true", "true", "false"])
      wanted = -> { [Tasker::Events.notifications.domain?, Tasker::Events.notifications.lifecycle?].join(" ") }
      puts wanted.call
      ActiveSupport::Notifications.subscribe("workflow.no_viable_steps.tasker_core") { |*| }
      puts wanted.call
      ActiveSupport::Notifications.subscribe("order.paid.tasker_core") { |*| }
      puts Tasker::Events.notifications.published("order.paid").then { wanted.call }
      puts Tasker::Events.notifications.listening?("order.paid"), Tasker::Events.notifications.published("order.paid")
    RUBY
  end

  it "is not asked when it is not there" do
    expect(TaskerCore::Events.notifications.lifecycle?).to be(false)
    expect(TaskerCore::Events.notifications.published("order.paid")).to be(false)
  end
end
