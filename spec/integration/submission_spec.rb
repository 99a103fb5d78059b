# frozen_string_literal: true

# When and how often a submitted task runs.
RSpec.describe "A submission" do
  before { configure }

  it "with an idempotency key runs once, however often it is made" do
    runs = Queue.new
    name = one_step { runs << true }
    TaskerCore::Worker.start(concurrency: 2)
    threads = Array.new(4) { Thread.new { Array.new(5) { TaskerCore.submit(name, {}, idempotency_key: "k") } } }
    tasks = threads.flat_map(&:value)
    expect(tasks.uniq.size).to eq(1)
    expect(tasks.count(&:created?)).to eq(1)
    tasks.first.wait(timeout: 20)
    expect(runs.size).to eq(1)
  end

  it "with run_at runs then, not before" do
    at = Time.now + 0.3
    ran = nil
    name = one_step { ran = Time.now }
    task = run_task(name, {}, run_at: at)
    expect(task).to be_complete
    expect(ran).to be >= at - 0.001
  end

  it "with a higher priority goes first" do
    order = Queue.new
    name = one_step { |step| order << step.input[:n] }
    TaskerCore.submit_all([{ name: name, context: { n: 1 } }, { name: name, context: { n: 2 }, priority: 5 }])
    last = TaskerCore.submit(name, { n: 3 }, priority: -1)
    TaskerCore::Worker.start(concurrency: 1)
    last.wait(timeout: 20)
    expect(Array.new(3) { order.pop }).to eq([2, 1, 3])
  end

  it "is only taken by workers of its namespace" do
    TaskerCore.configuration.handlers = { "one" => ->(_) { 1 } }
    %w[orders mail].each { |space| TaskerCore.template("t", namespace: space) { step :only, handler: "one" } }
    orders, mail = %w[orders mail].map { |space| TaskerCore.submit("t", {}, namespace: space) }
    TaskerCore::Worker.start(concurrency: 1, namespaces: ["mail"])
    expect(mail.wait(timeout: 20)).to be_complete
    expect(orders.step(:only).state).to eq("enqueued")
  end

  it "works in a process without a worker, and starts neither worker nor Tokio there" do
    output, errors, = ruby(<<~RUBY)
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      TaskerCore.template("t") { step :only, handler: "One" }
      puts TaskerCore.submit("t").state
      puts Dir["/proc/self/task/*/comm"].map { |file| File.read(file).chomp }.grep(/tokio|handler/).size
    RUBY
    expect([output, errors]).to eq(["steps_in_process\n0\n", ""])
  end
end
