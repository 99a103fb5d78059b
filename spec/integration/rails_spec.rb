# frozen_string_literal: true

# A real Rails application, in a process of its own: our logger is its logger, its filter_parameters are ours, a
# request's trace is the task's.
RSpec.describe "In a Rails application" do
  before do
    skip "needs Rails (on Debian: ruby-railties)" if Gem::Specification.find_all_by_name("railties").empty?
  end

  let(:application) { <<~RUBY }
    $VERBOSE = nil # Rails has warnings of its own
    require "rails"
    require "action_controller/railtie"
    class Shop < Rails::Application
      config.load_defaults 6.1
      config.action_controller.default_protect_from_forgery = false
      config.eager_load = false
      config.secret_key_base = "x" * 32
      config.consider_all_requests_local = false
      config.hosts.clear
      config.logger = LOGGER
      config.log_tags = [:request_id]
      config.filter_parameters += [:email, /\\Aphone\\z/, "address.street"]
    end
    class PaymentsController < ActionController::Base
      def create
        logger.info { "about to submit" }
        Rails.logger.info("paying", email: params[:email], amount: BigDecimal("5.5"), at: Time.zone.now)
        task = TaskerCore.submit("pay", { email: params[:email], due: 1.day.from_now }, rack_env: request.env)
        render json: { trace_id: task.trace_id, uuid: task.task_uuid }
      end
    end
    Shop.initialize!
    Shop.routes.draw { post "/payments", to: "payments#create" }
    TaskerCore.configure do |config|
      config.database = ":memory:"
      config.template_paths = []
      config.handlers = {
        "pay" => lambda { |step|
          Rails.logger.tagged("handler") { Rails.logger.warn("in the handler") }
          raise "no mailbox for {:email=>\#{step.input[:email].inspect}}" if step.attempt == 1

          { at: Time.zone.now, amount: BigDecimal("5.5"), phone: "123" }
        }
      }
    end
    TaskerCore.template("pay") do
      step :only, handler: "pay", retry: { max_attempts: 2, backoff: :none, base: 0, jitter: 0 }
    end
    TaskerCore::Worker.start(concurrency: 1)
    status, _, body = Shop.call(Rack::MockRequest.env_for(
      "/payments?email=ann@example.org", method: "POST", "HTTP_X_REQUEST_ID" => "request-7",
      "HTTP_TRACEPARENT" => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ))
    answer = JSON.parse(body.each.to_a.join)
    task = TaskerCore.task(answer["uuid"]).wait(timeout: 20)
    shown = TaskerCore::Telemetry.filter(user: { address: { street: "s" }, phone: "p", name: "n" })
    puts JSON.generate([status, answer["trace_id"], task.state, task.result[:only][:amount], shown])
    ActiveSupport::Logger.logger_outputs_to?(Rails.logger, $stderr) # asked by `rails server`
    Rails.logger.silence { Rails.logger.warn("silenced") }
    TaskerCore.shutdown
  RUBY

  ["TaskerCore.logger", "ActiveSupport::TaggedLogging.new(TaskerCore.logger)"].each do |logger|
    describe "with config.logger = #{logger}" do
      let(:run) do
        env = { "LOG_LEVEL" => "info", "LOG_FORMAT" => "json", "TASKER_WEB_PORT" => "0", "RAILS_ENV" => "production" }
        ruby(application.sub("LOGGER", logger), env: env)
      end
      let(:output) { run[0] }
      let(:errors) { run[1] }
      let(:lines) { errors.lines.grep(/\A\{/).map { |line| JSON.parse(line) } }

      def line(message)
        lines.find { |line| line["message"].match?(message) } or raise "no line #{message}: #{errors}"
      end

      it "says what Rails and the application say, once, with tags and filtered" do
        expect(run[2]).to be_success, errors
        expect(line(/^about to submit/)["fields"]["tags"]).to eq(["request-7"])
        expect(line(/^Started POST/)["fields"]["tags"]).to eq(["request-7"])
        expect(line(/^Completed 200/)["level"]).to eq("INFO")
        expect(line(/^in the handler/)["fields"]["tags"]).to eq(["handler"])
        expect(line(/^paying/)["fields"])
          .to include("email" => "[FILTERED]", "amount" => "5.5", "tags" => ["request-7"])
        expect(lines.map { |line| line["message"] }.tally.values_at("about to submit", "silenced")).to eq([1, nil])
        expect(line(/^Step execution failed/)["fields"]["error.message"]).to eq("no mailbox for {:email=>[FILTERED]}")
        expect(errors).not_to include("ann@example.org")
      end

      it "carries the request's trace into the task" do
        status, trace_id, state, amount, shown = JSON.parse(output.lines.last)
        expect([status, trace_id, state, amount]).to eq([200, "0af7651916cd43dd8448eb211c80319c", "complete", "5.5"])
        expect(shown["user"])
          .to eq("address" => { "street" => "[FILTERED]" }, "phone" => "[FILTERED]", "name" => "n")
        expect(line(/^in the handler/)["trace_id"]).to eq(trace_id)
      end
    end
  end
end
