# frozen_string_literal: true

require "net/http"

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

  # What is moved here is moved by the real thing; /metrics is asked over HTTP.
  describe "of the gem's own, in trouble" do
    def scrape
      address = TaskerCore.status["web"]["address"]
      Net::HTTP.get(URI("http://#{address}/metrics")).lines.grep_v(/\A#/).to_h do |line|
        series, _, value = line.rpartition(" ")
        [series, Float(value)]
      end
    end

    # How much a series has grown, as a function of its name.
    def grown
      before = scrape
      yield
      after = scrape
      ->(series) { after.fetch(series) - before.fetch(series, 0.0) }
    end

    it "show how long handler threads waited for a thread that kept the GVL" do
      configure(web: { port: 0 })
      name = one_step { "done" }
      run_task(name) # before that nothing has been measured
      sum = -> { TaskerCore::Native.metrics_text[/^tasker_ffi_gvl_wait_milliseconds_sum (\S+)/, 1].to_f }
      before = sum.call
      waited = -> { sum.call - before }
      grown = grown do
        computing = true
        hog = Thread.new { nil while computing }
        # Not every task meets it: some come when it has just been made to pause.
        100.times do
          run_task(name)
          break if waited.call > 20
        end
        computing = false
        hog.join
      end
      # Ruby takes the GVL from a thread that computes after 100 ms.
      slow = grown["tasker_ffi_gvl_wait_milliseconds_count"] -
             grown['tasker_ffi_gvl_wait_milliseconds_bucket{le="20"}']
      expect(slow).to be >= 1
      expect(grown["tasker_ffi_gvl_wait_milliseconds_sum"]).to be > 20
    end

    it "show a store that fails, and what was refused meanwhile" do
      skip "needs the sqlite3 command" unless system("command -v sqlite3 >/dev/null")
      in_folder do |folder|
        configure(database: "#{folder}/tasker.sqlite3", web: { port: 0 })
        name = one_step { "done" }
        run_task(name)
        rename = lambda do |from, to|
          system("sqlite3", "-cmd", ".timeout 20000", "#{folder}/tasker.sqlite3", "ALTER TABLE #{from} RENAME TO #{to}")
        end
        grown = grown do
          rename.call("steps", "gone")
          wait_until("the breaker refuses") do
            TaskerCore.submit(name) && nil
          rescue TaskerCore::StoreError => e
            e.message.include?("refused until it answers again")
          end
          expect(scrape['tasker_circuit_breaker_state{name="store"}']).to be >= 1
        end
        expect(grown['tasker_store_errors_total{kind="store"}']).to be >= 5
        expect(grown['tasker_circuit_breaker_rejected_total{name="store"}']).to be >= 1
        rename.call("gone", "steps")
        wait_until("the breaker is closed") { scrape['tasker_circuit_breaker_state{name="store"}'].zero? }
        expect(run_task(name).state).to eq("complete")
      end
    end

    it "show a collector that refuses, and what was lost by it" do
      OtlpSink.open do |sink|
        sink.answer = "400 Bad Request"
        configure(web: { port: 0 }, telemetry: sink.settings.merge(log_level: "off"))
        TaskerCore::Worker.start(concurrency: 1)
        TaskerCore.logger.level = :info
        grown = grown do
          2.times { TaskerCore.span("refused") { TaskerCore.logger.info("refused too") } }
          expect(TaskerCore::Telemetry.flush).to be(false)
        end
        expect(grown["tasker_telemetry_spans_dropped_total"]).to eq(2)
        expect(grown["tasker_telemetry_logs_dropped_total"]).to eq(2)
        expect(grown["tasker_telemetry_export_failures_total"]).to be >= 2
        sink.answer = "200 OK"
        grown = grown do
          TaskerCore.span("taken") { TaskerCore.logger.info("taken too") }
          expect(TaskerCore::Telemetry.flush).to be(true)
        end
        expect(grown["tasker_telemetry_spans_dropped_total"]).to eq(0)
        expect(grown["tasker_telemetry_logs_exported_total"]).to eq(1)
      end
    ensure
      TaskerCore.instance_variable_set(:@logger, nil)
    end
  end
end
