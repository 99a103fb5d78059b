# frozen_string_literal: true

# Whoever waits in the extension keeps nobody else from running.
RSpec.describe "The boundary: the GVL" do
  let(:native) { TaskerCore::Native }

  before do
    configure
    TaskerCore.engine.open unless RSpec.current_example.metadata[:worker]
  end

  # Runs a call that blocks, and gives what another thread counted meanwhile.
  def count_while(thread)
    wait_until("the call to block") { thread.stop? }
    counted = 0
    counted += 1 until counted == 1000
    counted
  ensure
    thread.kill
    thread.join
  end

  it "is free while a thread polls" do
    native.bootstrap_worker(TaskerCore.configuration.to_engine_json, "{}")
    expect(count_while(Thread.new { native.poll_step_event(30.0) })).to eq(1000)
  end

  it "is free while a thread waits for a task" do
    task = TaskerCore.submit(one_step_later)
    expect(count_while(Thread.new { native.wait(task.task_uuid, 30.0) })).to eq(1000)
  end

  def one_step_later
    TaskerCore.template("later") { step :only, handler: "Later" }
    "later"
  end

  it "lets many threads submit and read at once" do
    name = one_step_later
    threads = Array.new(4) { Thread.new { Array.new(5) { TaskerCore.submit(name).tap(&:state).task_uuid } } }
    expect(threads.flat_map(&:value).uniq.size).to eq(20)
  end

  it "gives each event to one thread only" do
    TaskerCore.engine.open
    native.bootstrap_worker(TaskerCore.configuration.to_engine_json(concurrency: 20), "{}")
    pollers = Array.new(4) { Thread.new { native.poll_step_event(30.0) } }
    name = one_step_later
    TaskerCore.submit_all(Array.new(4) { { name: name } })
    expect(pollers.map { |poller| poller.value[:step_uuid] }.uniq.size).to eq(4)
  end

  # The engine's own limit is 2 ms; the rest is for a machine that is busy.
  # Time says nothing where each allocation collects garbage.
  it "is not kept for long while handlers wait for a commit", :worker, unless: ENV["GC_STRESS"] do
    name = one_step { 1 }
    TaskerCore::Worker.start(concurrency: 4)
    tasks = TaskerCore.submit_all(Array.new(1500) { { name: name } })
    tasks.last.wait(timeout: 30)
    expect(native.longest_wait_with_gvl).to be < 15
  end
end
