# frozen_string_literal: true

# Metrics as somebody outside sees them: a collector, or whoever scrapes.
RSpec.describe "Metrics" do
  describe "of the application" do
    around { |example| OtlpSink.open { |sink| (@sink = sink) && example.run } }

    attr_reader :sink

    def arrived(name)
      sink.metrics.select { |metric| metric.name == name }
    end

    it "begin the export by themselves, with what they say of themselves" do
      _, errors, status = ruby(<<~RUBY, env: sink.env)
        TaskerCore.counter("orders.placed", description: "Orders that were paid.", unit: "{order}").add(2)
      RUBY
      expect([errors, status.success?]).to eq(["", true])
      expect(arrived("orders.placed").first).to have_attributes(description: "Orders that were paid.", unit: "{order}")
    end

    it "begin it in a forked child too" do
      output, errors, status = ruby(<<~RUBY, env: sink.env)
        COUNTER = TaskerCore.counter("orders.placed", unit: "{order}")
        COUNTER.add(1)
        Process.wait(fork { COUNTER.add(1) })
        print $?.pid, " ", $?.success?
      RUBY
      expect([errors, status.success?]).to eq(["", true])
      child, success = output.split
      expect(success).to eq("true")
      pids = arrived("orders.placed").map(&:pid).uniq
      expect(pids.size).to eq(2)
      expect(pids).to include(Integer(child))
      expect(arrived("orders.placed").map(&:unit).uniq).to eq(["{order}"])
    end

    it "are on /metrics with their help, and their unit in the name" do
      name = "spec.wait#{rand(1 << 30)}"
      TaskerCore.histogram(name, description: "How long.", unit: :ms).record(12)
      shown = "#{name.tr('.', '_')}_milliseconds"
      expect(TaskerCore::Native.metrics_text).to include("# HELP #{shown} How long.\n", "#{shown}_count 1\n")
    end
  end
end
