# frozen_string_literal: true

# Each of the engine's errors has its class.
RSpec.describe "The boundary: errors" do
  let(:native) { TaskerCore::Native }
  let(:unknown) { "0190c0de-0000-7000-8000-000000000001" }

  it "says so when nothing is open" do
    expect { native.poll_step_event(0.0) }.to raise_error(TaskerCore::StoppedError, /not open/)
    expect { native.task(unknown) }.to raise_error(TaskerCore::StoppedError)
  end

  it "tolerates stopping and closing what is not open" do
    expect(native.stop_worker(1.0)).to eq([true, 0])
    expect(native.flush_telemetry(0.1)).to be(true)
    expect([native.close(0.1), native.close_channel]).to eq([nil, nil])
  end

  it "names the error" do
    expect { native.check_template("a.yml", "name: a", "yaml") }.to raise_error(TaskerCore::TemplateError, /a\.yml/)
    expect { native.open('{"worker":{"concurrency":0}}') }.to raise_error(TaskerCore::ConfigurationError, /concurrency/)
    expect { native.open('{"database":"/proc/nowhere/t.sqlite3"}') }.to raise_error(TaskerCore::StoreError, /nowhere/)
    configure
    TaskerCore.engine.open
    expect { native.task(unknown) }.to raise_error(TaskerCore::NotFoundError, /#{unknown}/)
    expect { native.wait(unknown, 1.0) }.to raise_error(TaskerCore::NotFoundError)
  end

  it "says what to raise when the process may open no more files" do
    output, errors, = ruby(<<~RUBY)
      TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
      TaskerCore.logger
      most = Process.getrlimit(:NOFILE).last
      (5..40).each do |limit|
        Process.setrlimit(:NOFILE, limit, most)
        TaskerCore::Worker.start(concurrency: 1)
        break
      rescue TaskerCore::Error => e
        puts e.class, e.message
      ensure
        Process.setrlimit(:NOFILE, most, most)
      end
    RUBY
    expect(output).to match(/ConfigurationError$.*too many open files: raise RLIMIT_NOFILE/m)
    expect(output + errors).not_to include("InternalError")
  end
end
