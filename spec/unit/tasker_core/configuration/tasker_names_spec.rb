# frozen_string_literal: true

RSpec.describe TaskerCore::Configuration::TaskerNames do
  subject(:configuration) { TaskerCore.configuration }

  around do |example|
    before = ENV.to_h.slice("OTEL_SERVICE_NAME", "OTEL_SERVICE_VERSION")
    ENV.delete("OTEL_SERVICE_NAME")
    ENV.delete("OTEL_SERVICE_VERSION")
    example.run
  ensure
    ENV.update("OTEL_SERVICE_NAME" => nil, "OTEL_SERVICE_VERSION" => nil, **before)
  end

  def exported
    JSON.parse(TaskerCore::Telemetry::Settings.new.to_json)
  end

  it "has the defaults of Tasker, which the engine's own export does not take over" do
    expect(configuration.otel_telemetry_service_name).to eq("tasker")
    expect(configuration.otel_telemetry_service_version).to eq(TaskerCore::VERSION)
    expect(configuration.telemetry_filter_mask).to eq("[FILTERED]")
    expect(exported).to eq({})
  end

  it "goes to the export" do
    configuration.otel_telemetry_service_name = "shop"
    configuration.otel_telemetry_service_version = :"2.0"
    expect(configuration).to have_attributes(otel_telemetry_service_name: "shop", otel_telemetry_service_version: "2.0")
    expect(exported).to eq("service_name" => "shop", "service_version" => "2.0")
  end

  it "takes what telemetry says first, whichever was set first, then its own, then the environment" do
    ENV.update("OTEL_SERVICE_NAME" => "of_env", "OTEL_SERVICE_VERSION" => "3")
    expect(configuration).to have_attributes(otel_telemetry_service_name: "of_env", otel_telemetry_service_version: "3")
    configuration.otel_telemetry_service_name = "own"
    expect(configuration.otel_telemetry_service_name).to eq("own")
    configuration.telemetry = { "service_name" => "explicit", endpoint: "http://here:1" }
    configuration.otel_telemetry_service_name = "later"
    expect(configuration.otel_telemetry_service_name).to eq("explicit")
    expect(exported).to eq("service_name" => "explicit", "endpoint" => "http://here:1")
    configuration.telemetry = { endpoint: "http://here:1" }
    expect(exported).to eq("service_name" => "later", "endpoint" => "http://here:1")
  end

  it "takes an empty variable as none" do
    ENV["OTEL_SERVICE_NAME"] = ""
    expect(configuration.otel_telemetry_service_name).to eq("tasker")
  end

  it "masks with the mask" do
    configuration.telemetry_filter_mask = "***"
    expect(configuration.filter_mask).to eq("***")
    expect(TaskerCore::Telemetry.filter(password: "x")).to eq("password" => "***")
  end

  it "refuses what is no name, and changes while the engine is open" do
    [nil, "", 5].each do |name|
      expect { configuration.otel_telemetry_service_name = name }
        .to raise_error(TaskerCore::ConfigurationError, /otel_telemetry_service_name must be a String/)
    end
    configure
    TaskerCore.engine.open
    { otel_telemetry_service_name: "x", otel_telemetry_service_version: "1", telemetry_filter_mask: "x" }
      .each do |name, value|
        expect { configuration.public_send(:"#{name}=", value) }
          .to raise_error(TaskerCore::ConfigurationError, /cannot change while the engine is open/)
      end
  end
end
