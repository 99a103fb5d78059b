# frozen_string_literal: true

# A secret goes into a task in every way there is. The handler gets it; nobody who watches does.
RSpec.describe "A secret" do
  secret = "hunter2-of-the-spec"

  # Submits a task with the secret in its context, its config, its results and the messages of its failures.
  program = <<~RUBY
    SECRET = #{secret.inspect}
    class Charge
      def call(step)
        raise "the handler does not see it" unless step.input[:password] == SECRET && step.config[:api_key] == SECRET
        TaskerCore.logger.info("charging", password: SECRET, card: { number: SECRET, cvv: SECRET })
        TaskerCore.span("charge", token: SECRET, user: { secret: SECRET }) do |span|
          span.event("sent", "http.authorization": SECRET)
          case step.attempt
          when 1 then raise TaskerCore::RetryableError, "login failed for {:password=>\\"\#{SECRET}\\", :user=>1}"
          when 2 then step.input.no_such_method
          when 3 then raise ArgumentError, %(bad request: {"card_number": "\#{SECRET}", "amount": 5})
          end
        end
        { token: SECRET }
      end
    end
    RETRY = { max_attempts: 5, backoff: :none, base: 0, jitter: 0 }.freeze
    TaskerCore.configure do |config|
      config.database = ":memory:"
      config.template_paths = []
      config.log_payloads = true
    end
    TaskerCore.template("pay") do
      step :charge, handler: "Charge", retry: RETRY, config: { api_key: SECRET }
      step :after, handler: "Charge", depends_on: :charge, retry: RETRY, config: { api_key: SECRET }
    end
    TaskerCore::Worker.start(concurrency: 1)
    TaskerCore.counter("paid").add(1, token: SECRET)
    TASK = TaskerCore.submit("pay", { password: SECRET, card: { number: SECRET } }).wait(timeout: 20)
  RUBY

  it "is in no line, no span and no metric" do
    OtlpSink.open do |sink|
      output, errors, status = ruby(<<~RUBY, env: sink.env.merge("LOG_LEVEL" => "debug", "TASKER_WEB_PORT" => "0"))
        #{program}
        puts TASK.state, TASK.context[:password] == SECRET, TASK.result[:charge][:token] == SECRET
        puts TaskerCore::Native.metrics_text
        TaskerCore.shutdown
      RUBY
      expect(status).to be_success, errors
      expect(output).to start_with("complete\ntrue\ntrue\n") # who asks gets it
      expect(output.lines.grep(/#{secret}/)).to eq([])
      expect(errors).to include("Step execution failed, will retry", "step input")
      expect(errors).to include("login failed for {:password=>[FILTERED], :user=>1}")
      expect(errors.lines.grep(/#{secret}/)).to eq([])
      failures = sink.spans.map(&:error).compact
      expect(failures).to include('ArgumentError: bad request: {"card_number": [FILTERED], "amount": 5}')
      expect([sink.spans, sink.logs].inspect).not_to include(secret)
      expect(sink.logs.map(&:body)).to include("charging", "step result", "Step execution failed, will retry")
    end
  end

  it "stays in the handler's own words in the store, unless that is not wanted" do
    configure(filter_parameters: [:email])
    failing = ->(_step) { raise TaskerCore::PermanentError, "row without email: Nobody" }
    expect(run_task(one_step(&failing)).error[:message]).to eq("row without email: Nobody")
    TaskerCore.shutdown
    configure(mask_stored_errors: true)
    expect(run_task(one_step(&failing)).error[:message]).to eq("row without email: [FILTERED]")
  end

  it "is shown by no object of the library's" do
    output, errors, status = ruby(<<~RUBY, env: { "TASKER_WEB_PORT" => "0" })
      #{program}
      KEPT = [TASK.context, TASK.steps, TASK.transitions, TASK.error].freeze
      TaskerCore.shutdown
      TaskerCore.configure do |config|
        config.telemetry = { headers: { authorization: SECRET } }
        config.web = { token: SECRET }
      end
      TaskerCore.template("strict") do
        input_schema(type: "object", properties: { password: { type: "integer" }, pin: { enum: [1, 2] } })
        step :charge, handler: "Charge"
      end
      ERRORS = [{ password: SECRET, pin: SECRET }, { token: Object.new, password: SECRET }].map do |context|
        TaskerCore.submit("strict", context)
      rescue TaskerCore::Error => e
        e
      end
      ours = ObjectSpace.each_object(Object).select { |object| object.class.name.to_s.start_with?("TaskerCore") }
      ours -= ObjectSpace.each_object(TaskerCore::JsonHash).to_a # the payloads themselves
      require "pp"
      shown = ours.flat_map { |object| [object.inspect, object.to_s, object.pretty_inspect].map { |s| [object.class, s] } }
      puts shown.map(&:first).uniq.size
      puts shown.select { |_, text| text.include?(SECRET) }.map { |kind, text| "\#{kind}: \#{text}" }
    RUBY
    expect([errors, status.success?]).to eq(["", true])
    kinds, *telling = output.lines
    expect(Integer(kinds)).to be > 15
    expect(telling).to eq([])
  end
end
