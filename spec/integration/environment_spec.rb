# frozen_string_literal: true

# Every variable that the documents name, with values that it will one day be given: the worker runs, and says what is
# wrong in one line.
RSpec.describe "A bad value in the environment" do
  settings = Document.new("docs/operations/telemetry_settings.md")
  monitoring = Document.new("docs/operations/monitoring.md")
  variables = [settings.section("## Environment"), monitoring.section("## Web server")].flat_map do |section|
    section.table("Variable", "In Ruby", "Default").map { |row| Document.code(row[0]).first }
  end
  values = {
    "empty" => "", "blank" => " \t ", "garbage" => "gar bage;=,\u{1F4A5}", "negative" => "-1", "huge" => "9" * 20_000,
    "not UTF-8" => "caf\xE9\xFF"
  }
  # What any text will do for.
  texts = %w[OTEL_SERVICE_NAME OTEL_SERVICE_VERSION DEPLOYMENT_ENVIRONMENT TASKER_ENV TASKER_WEB_TOKEN]

  let(:program) { <<~RUBY }
    TaskerCore.configure do |config|
      config.database = ":memory:"
      config.template_paths = []
      config.handlers = { "work" => ->(_) { 1 } }
    end
    TaskerCore.template("tiny") { step :only, handler: "work" }
    TaskerCore::Worker.start(concurrency: 1)
    puts TaskerCore.submit("tiny").wait(timeout: 20).state
    TaskerCore.shutdown
  RUBY

  # What a process needs to come to the point where the variable is used, and to be quiet otherwise.
  def env(variable, value, names)
    nothing = TCPServer.open("127.0.0.1", 0) { |server| "http://127.0.0.1:#{server.addr[1]}" }
    names.to_h { |name| [name, nil] }.merge(
      "TELEMETRY_ENABLED" => "true", "OTEL_EXPORTER_OTLP_ENDPOINT" => nothing, "OTEL_EXPORTER_OTLP_TIMEOUT" => "100",
      "TASKER_WEB_PORT" => "0", "LOG_LEVEL" => "warn", variable => value
    )
  end

  # What is wrong with what the process did; nil when it did all it has to.
  def problem(variable, value, names, lines)
    output, errors, status = ruby(program, env: env(variable, value, names))
    told = errors.lines.grep(/ (?:WARN|ERROR) .*\b#{variable}\b/)
    # A collector that is not there, or a port that is taken, is another matter.
    told.reject! { |line| line.include?("telemetry::export") || line.include?("Web server not started") }
    right = status.success? && output == "complete\n" && told.size == lines && told.all? { |line| line.size < 1000 }
    "#{variable}: #{status}, #{told.size} lines\n#{output}#{errors[0, 3000]}" unless right
  end

  it "knows the variables" do
    expect(variables.size).to be > 30
    expect(variables).to include("LOG_FORMAT", "TASKER_WEB_TOKEN", "OTEL_BLRP_MAX_QUEUE_SIZE")
  end

  values.each do |kind, value|
    it "is one line and a default when it is #{kind}" do
      fine = %w[NO_COLOR]
      fine += texts unless kind == "not UTF-8"
      fine = variables if %w[empty blank].include?(kind)
      queue = Queue.new(variables).close
      threads = Array.new(4) do
        Thread.new do
          problems = []
          while (variable = queue.pop)
            problems << problem(variable, value, variables, fine.include?(variable) ? 0 : 1)
          end
          problems.compact
        end
      end
      expect(threads.flat_map(&:value).join("\n")).to eq("")
    end
  end
end
