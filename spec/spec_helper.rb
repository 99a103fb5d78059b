# frozen_string_literal: true

# Expects the extension where bin/setup puts it: under lib/tasker_core/.
ENV["LOG_LEVEL"] ||= "off"
ENV["TASKER_WEB_PORT"] ||= "0" # any free one: specs run beside each other
$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "tasker_core"
require "tmpdir"
require "timeout"

Dir[File.join(__dir__, "support/*.rb")].sort.each { |file| require file }

RSpec.configure do |config|
  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.disable_monkey_patching!
  config.order = :random
  Kernel.srand config.seed
  # Warnings of our own files are the concern of bin/test.
  config.warnings = false

  config.include EngineSupport
  config.include EventSupport
  config.include PostgresSupport
  config.include Subprocess

  # Nothing may wait for ever, and no example may leave an engine behind.
  config.around do |example|
    Timeout.timeout(ENV["GC_STRESS"] ? 300 : 60) { example.run }
  ensure
    reset_engine
  end

  config.around { |example| GcStress.around { example.run } } if ENV["GC_STRESS"]
end
