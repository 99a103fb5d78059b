# frozen_string_literal: true

# Durable subscribers in processes of their own.
RSpec.shared_examples "subscribers elsewhere" do
  include EventStory

  let(:program) { <<~RUBY }
    TaskerCore.configure do |config|
      config.database = #{database.dump}
      config.template_paths = []
    end
    class Receipts < TaskerCore::EventSubscriber
      subscribes_to "order.*", group: "billing", from: :beginning, ordered: true, lease: 0.5
      def handle(event)
        $stdout.syswrite("\#{event.payload}\\n")
        IO.pipe.first.read if event.payload == "hang"
      end
    end
  RUBY

  before { configure(database: database) }

  def publishing
    TaskerCore::Worker.start(concurrency: 1)
    yield
  end

  it "get what this process publishes, and stop on SIGTERM" do
    status = start_ruby("#{program}exit(TaskerCore::EventSubscriber.run)") do |output, pid|
      publishing { publish(1, 2) }
      expect([output.gets, output.gets]).to eq(%W[1\n 2\n])
      Process.kill("TERM", pid)
    end
    expect(status).to be_success
    expect(group).to have_attributes(pending: 0, holder: nil)
  end

  it "end now on a second signal, and give back what hangs" do
    patient = "TaskerCore.configuration.shutdown_timeout = 1000\n"
    status = start_ruby("#{program}#{patient}exit(TaskerCore::EventSubscriber.run)") do |output, pid|
      publishing { publish("hang") }
      expect(output.gets).to eq("hang\n")
      Process.kill("TERM", pid)
      wait_until("the process to end") do
        Process.kill("TERM", pid)
        group.holder.nil?
      rescue Errno::ESRCH
        true
      end
    end
    # A third signal may end it as the system would.
    expect(status.success?).not_to be(true)
    expect(group).to have_attributes(retrying: 1, holder: nil)
  end

  it "take over from one that was killed, with what it had in hand" do
    start_ruby("#{program}TaskerCore::EventSubscriber.run") do |first, pid|
      publishing { publish(1, "hang", 3) }
      expect([first.gets, first.gets]).to eq(%W[1\n hang\n])
      Process.kill("KILL", pid)
      start_ruby("#{program}TaskerCore::EventSubscriber.run") do |second, other|
        seen = second.gets
        seen = second.gets if seen == "1\n" # it may not have been settled yet
        expect(seen).to eq("hang\n")
        Process.kill("KILL", other)
      end
    end
  end

  it "are left to the parent by a fork, and the child may run its own" do
    forking = <<~RUBY
      TaskerCore::EventSubscriber.start
      puts TaskerCore::EventSubscriber.running?
      pid = fork do
        puts TaskerCore::EventSubscriber.running?
        TaskerCore::EventSubscriber.start
        puts TaskerCore::EventSubscriber.running?, TaskerCore::EventSubscriber.stop
      end
      puts Process.wait2(pid)[1].success?, TaskerCore::EventSubscriber.stop
    RUBY
    output, errors, = ruby(program + forking)
    expect([output.split, errors]).to eq([%w[true false true true true true], ""])
  end
end

RSpec.describe TaskerCore::EventSubscriber do
  describe "on SQLite" do
    around { |example| in_folder { |folder| (@folder = folder) && example.run } }

    it_behaves_like "subscribers elsewhere" do
      let(:database) { "#{@folder}/tasker.sqlite3" }
    end
  end

  describe "on PostgreSQL" do
    around { |example| with_database { |database| (@database = database) && example.run } }

    it_behaves_like "subscribers elsewhere" do
      let(:database) { @database.url }
    end
  end
end
