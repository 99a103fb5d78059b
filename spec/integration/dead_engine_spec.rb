# frozen_string_literal: true

# A worker whose engine has died can do nothing more: its process ends and says so.
RSpec.describe "A worker whose engine has died" do
  let(:prepare) { <<~RUBY }
    TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
    INSIDE = Queue.new
    class Wait
      def call(_)
        INSIDE << true
        Queue.new.pop
      end
    end
    TaskerCore.template("wait") { step :only, handler: "Wait" }
  RUBY

  it "ends with an error" do
    output, errors, status = ruby(<<~RUBY, env: { "LOG_LEVEL" => "error" })
      #{prepare}
      Thread.new do
        Thread.pass until TaskerCore::Worker.running?
        TaskerCore::Native.simulate_engine_panic
      end
      TaskerCore::Worker.run(concurrency: 2)
      puts "went on"
    RUBY
    expect([output.scan("engine has died").size, output.include?("went on"), status.exitstatus]).to eq([0, false, 1])
    expect(errors).to match(/engine has died.*Restart the process.*InternalError/m)
    expect(errors.lines.grep(/ERROR.*engine has died/).size).to eq(1)
  end

  it "does so while all its handlers are at work" do
    _, errors, status = ruby(<<~RUBY)
      #{prepare}
      TaskerCore.submit("wait")
      Thread.new do
        INSIDE.pop
        TaskerCore::Native.simulate_engine_panic
      end
      TaskerCore::Worker.run(concurrency: 1)
    RUBY
    expect([errors, status.exitstatus]).to match([/engine has died/, 1])
  end

  it "answers who asks, and stops at once" do
    configure
    name = one_step { 1 }
    TaskerCore::Worker.start(concurrency: 1)
    TaskerCore::Native.simulate_engine_panic
    expect(TaskerCore::Worker.join(10)).to be(true)
    expect { TaskerCore.submit(name) }.to raise_error(TaskerCore::StoppedError)
    expect(TaskerCore::Worker.stop).to be(false)
    TaskerCore.shutdown
    expect(run_task(name)).to be_complete
  end
end
