# frozen_string_literal: true

# What an application says of itself, seen by a collector.
RSpec.describe "Telemetry" do
  around do |example|
    in_folder do |folder|
      @folder = folder
      OtlpSink.open { |sink| (@sink = sink) && example.run }
    end
  end

  attr_reader :sink

  def span(name)
    wait_until("a span #{name}") { sink.spans.find { |span| span.name == name } }
  end

  def log(body)
    wait_until("a line #{body}") { sink.logs.find { |log| log.body == body } }
  end

  def configure_here(**settings)
    configure(telemetry: sink.settings.merge(log_level: "off"), **settings)
  end

  it "has a handler's spans, lines and the spans of Rust in one trace" do
    configure_here
    TaskerCore.logger.level = :info
    name = one_step("charge") do |_|
      TaskerCore.span("charge card", amount: 5, token: "t") do
        TaskerCore.logger.info("charged", amount: 5, currency: "EUR", password: "p")
      end
      nil
    end
    task = run_task(name)
    TaskerCore.shutdown
    handler = span("handler.execution")
    own = span("charge card")
    expect(own).to have_attributes(trace_id: task.trace_id, parent_span_id: handler.span_id)
    expect(own.attributes).to eq("amount" => 5, "token" => "[FILTERED]", "correlation_id" => task.correlation_id)
    line = log("charged")
    expect(line).to have_attributes(trace_id: task.trace_id, span_id: own.span_id, severity: "INFO")
    expect(line.attributes).to eq("amount" => 5, "currency" => "EUR", "password" => "[FILTERED]",
                                  "correlation_id" => task.correlation_id)
  ensure
    TaskerCore.instance_variable_set(:@logger, nil)
  end

  it "joins what a task was submitted in" do
    configure_here
    name = one_step("inner") { |_| nil }
    outer = nil
    task = TaskerCore.span("checkout") do |span|
      outer = span.context
      TaskerCore::Worker.start(concurrency: 1)
      TaskerCore.submit(name).wait(timeout: 20)
    end
    TaskerCore.shutdown
    expect(task.trace_id).to eq(outer.trace_id)
    expect(span("task.orchestration").parent_span_id).to eq(outer.span_id)
  end

  it "keeps the errors of a task that is sampled out" do
    configure_here(telemetry: sink.settings.merge(log_level: "off", trace_sample: { default: 0.0 }))
    name = one_step("fails", retry: quick(1)) { |_| TaskerCore.span("not kept") { raise "no" } }
    task = run_task(name)
    TaskerCore.shutdown
    names = sink.spans.select { |span| span.trace_id == task.trace_id }.map(&:name)
    expect(names).to match_array(%w[task.orchestration worker.step_execution handler.execution])
    expect(sink.spans.map { |span| span.attributes["sampled_out"] }).to all(be(true))
  end

  it "is exported by a process that only submits, and begins with its first span" do
    program = 'TaskerCore.span("alone") { TaskerCore.logger.info("hello", n: 1) }'
    _, errors, status = ruby(program, env: sink.env.merge("LOG_LEVEL" => "info"))
    expect(status).to be_success
    expect(errors).to include("hello n=1 trace_id=#{span('alone').trace_id}")
    expect(log("hello")).to have_attributes(span_id: span("alone").span_id)
  end

  it "is turned on, and to another collector, while the process runs" do
    OtlpSink.open do |other|
      settings = [sink, other].map { |it| "TaskerCore::Telemetry.upgrade!(**#{it.settings.inspect})" }
      program = <<~RUBY
        TaskerCore.span("before") { nil }
        #{settings[0]} or raise
        TaskerCore.span("first") { nil }
        #{settings[1]} or raise
        TaskerCore.span("second") { nil }
        TaskerCore::Telemetry.shutdown or raise
        TaskerCore.span("after") { nil }
      RUBY
      _, errors, status = ruby(program)
      expect(errors).to eq("")
      expect(status).to be_success
      expect([sink, other].map { |it| it.spans.map(&:name) }).to eq([["first"], ["second"]])
    end
  end

  it "says what is wrong with settings, and goes on as before" do
    configure_here
    TaskerCore.span("one") { nil }
    expect { TaskerCore::Telemetry.upgrade!(endpoint: "nowhere") }
      .to raise_error(TaskerCore::ConfigurationError, %r{http://})
    expect { TaskerCore::Telemetry.upgrade!(endpont: "x") }.to raise_error(TaskerCore::ConfigurationError, /endpont/)
    TaskerCore.span("two") { nil }
    expect(TaskerCore::Telemetry.flush).to be(true)
    expect(sink.spans.map(&:name)).to eq(%w[one two])
  end

  it "ends with the process, within its bound, when nobody answers" do
    silent = TCPServer.new("127.0.0.1", 0)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    env = sink.env.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => "http://127.0.0.1:#{silent.addr[1]}")
    _, _, status = ruby('TaskerCore.span("lost") { nil }', env: env)
    expect(status).to be_success
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 10
  ensure
    silent&.close
  end

  it "works in forked children under load, and no id repeats" do
    parent = File.expand_path("../../bench/forks/parent.rb", __dir__)
    env = environment(sink.env.merge("FORKS" => "30", "LOG_LEVEL" => "info", "OTEL_EXPORTER_OTLP_TIMEOUT" => "10000",
                                     "TASKER_TRACE_SAMPLE" => "load=0.1"))
    output, errors, status = Open3.capture3(env, RbConfig.ruby, "-w", "-I", Subprocess::LIB, parent,
                                            "#{@folder}/forks.sqlite3")
    expect([status.success?, output]).to eq([true, %({"forks":30,"failed":0}\n)]), errors
    wait_until("all spans") { sink.spans.count { |span| %w[child parent].include?(span.name) } == 60 }
    wait_until("all lines") { sink.logs.count { |log| log.body == "from the child" } == 30 }
    spans = sink.spans
    expect(spans.map(&:pid).uniq.size).to eq(31)
    expect(spans.map(&:span_id).uniq.size).to eq(spans.size)
    children = spans.select { |span| span.name == "child" }
    expect(children.map { |span| span.attributes["number"] }).to match_array((0...30).to_a)
    parents = spans.select { |span| span.name == "parent" }.to_h { |span| [span.attributes["number"], span] }
    expect(children.map { |span| span.parent_span_id == parents[span.attributes["number"]].span_id }).to all(be(true))
    expect(sink.logs.map { |log| log.attributes["token"] }.compact.uniq).to eq(["[FILTERED]"])
  end
end
