# frozen_string_literal: true

# Code that was written for Tasker (spec/fixtures/interface_examples.md) runs unchanged. In a process of its own: it
# needs ActiveSupport (`Time.current`), and defines constants.
RSpec.describe "Code that was written for Tasker" do
  before do
    missing = Gem::Specification.find_all_by_name("activesupport").empty?
    skip "needs ActiveSupport (on Debian: ruby-activesupport)" if missing
  end

  let(:page) { Document.new("spec/fixtures/interface_examples.md") }

  def block(heading)
    page.section("## #{heading}").blocks("ruby").first
  end

  # What the blocks require beside the stand-in of OpenTelemetry's SDK.
  def files(*headings)
    gems = { "opentelemetry-exporter-otlp" => "", "opentelemetry/instrumentation/all" => "" }
    gems.merge(headings.to_h { |heading| [heading.tr(" ", "_"), block(heading)] })
  end

  # Runs the blocks as files of an application, then the program, which prints JSON.
  def run(*headings, program)
    in_folder do |folder|
      FileUtils.mkdir_p("#{folder}/opentelemetry/instrumentation")
      files(*headings).each { |name, text| File.write("#{folder}/#{name}.rb", text) }
      prelude = <<~RUBY
        $VERBOSE = nil
        %w[active_support active_support/time tasker_core].each { |name| require name }
        $LOAD_PATH.unshift(#{folder.inspect}, #{File.join(Document::ROOT, 'spec/fixtures/gems').inspect})
        Tasker.configure { |config| config.database = "#{folder}/tasker.sqlite3"; config.template_paths = [] }
        def quick = { max_attempts: 2, backoff: :none, base: 0, jitter: 0 }
        #{headings.inspect}.each { |heading| require heading.tr(" ", "_") }
      RUBY
      said, errors, status = ruby(program, prelude: prelude)
      expect([errors, status.success?]).to eq(["", true])
      JSON.parse(said, symbolize_names: true)
    end
  end

  it "configures the gem" do
    said = run("settings", <<~RUBY)
      config = Tasker::Configuration.configuration
      masked = Tasker::Telemetry.filter(api_key: 1, credit_card: { number: 2 }, my_token: 3, name: 4)
      puts JSON.generate([config.otel_telemetry_service_name, config.otel_telemetry_service_version,
                          config.filter_parameters.size, masked, JSON.parse(Tasker::Telemetry.settings_json)])
    RUBY
    mask = "***REDACTED***"
    expect(said).to eq(["my_app_tasker", "1.2.3", 4, { api_key: mask, credit_card: mask, my_token: mask, name: 4 },
                        { service_name: "my_app_tasker", service_version: "1.2.3" }])
  end

  it "configures an OpenTelemetry SDK of the application's own as the same service" do
    said = run("settings", "opentelemetry", <<~RUBY)
      sdk = OpenTelemetry::SDK.configurator
      puts JSON.generate([sdk.service_name, sdk.resource.attributes, sdk.processors.map { |each| each.exporter.endpoint },
                          sdk.instrumentation])
    RUBY
    attributes = { "service.name": "my_app_tasker", "service.version": "1.2.3", "service.framework": "tasker" }
    expect(said).to eq(["my_app_tasker", attributes, ["http://localhost:4318/v1/traces"],
                        { "OpenTelemetry::Instrumentation::Faraday": { enabled: false } }])
  end

  describe "a step's handler" do
    let(:program) { <<~RUBY }
      class MyCustomStepHandler
        def perform_complex_operation(context)
          raise ArgumentError, "no rows" if context["rows"].nil?

          Array.new(context["rows"]) { |row| row }
        end
      end
      Tasker.template("import") { step :only, handler: "MyCustomStepHandler", retry: quick }
      events = []
      # Those of handlers; the engine has events of its own.
      Tasker::Events::Publisher.instance.subscribe { |event| events << event if event.source == :application }
      Tasker::Worker.start(concurrency: 1)
      task = Tasker.submit("import", CONTEXT).wait(timeout: 20)
      Tasker::Events::Publisher.instance.flush
      puts JSON.generate([task.result, task.error, events.map { |event| [event.name, event.payload] },
                          task.task_uuid, task.steps.first.step_uuid])
      Tasker.shutdown
    RUBY

    it "has its context, sets its result and publishes its events" do
      result, error, events, task, step = run("step handler", program.sub("CONTEXT", "{ rows: 3 }"))
      expect([result, error]).to eq([{ only: { success: true, data: [0, 1, 2] } }, nil])
      expect(events.map(&:first)).to eq(%w[step.execution_requested step.completed])
      started, completed = events.map(&:last)
      expect(started).to include(task_id: task, step_id: step, step_name: "only", attempt_number: 1, retry_limit: 2,
                                 event_type: "started", completed_at: nil)
      expect(completed).to include(event_type: "completed", operation_count: 3, execution_duration: Float)
      expect(completed.keys - [:operation_count]).to eq(example("step payload").keys)
    end

    it "publishes the error of each attempt, and fails with it" do
      result, error, events, = run("step handler", program.sub("CONTEXT", "{}"))
      expect([result, error[:class], error[:message]]).to eq([{}, "ArgumentError", "no rows"])
      expect(events.map(&:first)).to eq(%w[step.execution_requested step.failed] * 2)
      first, second = events.map(&:last).select { |payload| payload[:event_type] == "failed" }
      expect(first).to include(error_message: "no rows", error_class: "ArgumentError", attempt_number: 1,
                               backtrace: include(/step_handler/), retry_limit: 2)
      expect(second).to include(attempt_number: 2)
      expect(first.keys).to eq(example("error payload").keys)
    end
  end

  it "publishes an event of the business with its step" do
    said = run("order handler", <<~RUBY)
      class OrderProcessingHandler
        def calculate_total(context) = context["lines"].sum
      end
      Tasker.template("order") do
        step :only, handler: "OrderProcessingHandler", publishes: [{ name: "order.done", delivery_mode: :fast }]
      end
      told = Queue.new
      Tasker.on("order.*") { |event| told << event }
      Tasker::Worker.start(concurrency: 1)
      task = Tasker.submit("order", { order_id: 7, lines: [2, 3] }).wait(timeout: 20)
      stored = IO.popen(["sqlite3", Tasker.configuration.database, "SELECT message FROM events"], &:readlines)
      puts JSON.generate([task.result, told.pop.payload, stored.map { |line| JSON.parse(line) }])
      Tasker.shutdown
    RUBY
    result, done, (event, *others) = said
    expect(others).to eq([])
    expect(event[:metadata]).to include(step_name: "only", task_uuid: String)
    expect(event.dig(:payload, :payload)).to match(order_id: 7, payment_amount: 5, payment_method: "credit_card",
                                                   processing_time: /\A\d{4}-\d\d-\d\dT/)
    expect([result, done]).to eq([{ only: event[:event_id] }, event[:event_id]])
  end

  # The Hash that a block shows.
  def example(heading)
    eval(block(heading)) # rubocop:disable Security/Eval -- a file of this repository's
  end

  it "shows payloads with the keys that events have" do
    builder = TaskerCore::EventPayloadBuilder
    expect(example("step payload").keys).to eq(builder::STEP_KEYS)
    expect(example("task payload").keys).to eq(builder::TASK_KEYS)
    expect(example("error payload").keys).to eq(builder::ERROR_KEYS)
    times = example("step payload").values_at(:started_at, :completed_at, :timestamp)
    expect(times.map { |time| builder.time(Time.iso8601(time)).sub(".000000", "") }).to eq(times)
  end

  it "prints what is there when it is asked from a shell" do
    commands = page.section("## commands").blocks("bash").first.scan(/runner "([^"]+)"/).flatten
    said = commands.grep(/Tasker::/).map { |command| ruby(command).first }
    expect(said).to match([/\A#<TaskerCore::Events::Publisher subscriptions=0 /,
                           /\A#<TaskerCore::Events::Subscribers::TelemetrySubscriber not subscribed /])
  end
end
