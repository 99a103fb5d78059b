# frozen_string_literal: true

require "net/http"
require "socket"

RSpec.describe "the worker's web server" do
  def address
    TaskerCore.status["web"]["address"]
  end

  def get(path, token: nil, at: address)
    headers = token ? { "Authorization" => "Bearer #{token}" } : {}
    Net::HTTP.get_response(URI("http://#{at}#{path}"), headers)
  end

  it "answers for health and metrics while the worker runs" do
    configure(web: { port: 0 })
    expect(run_task(one_step { "done" }).state).to eq("complete")
    expect(get("/health/ready").code).to eq("200")
    expect(JSON.parse(get("/health").body)).to include("status" => "healthy", "worker_id" => /\Aworker-/)
    metrics = get("/metrics").body
    expect(metrics).to match(/^tasker_steps_succeeded_total\{handler="one_step".*\} [1-9]/)
    expect(metrics).to match(/^tasker_ffi_gvl_wait_milliseconds_count [1-9]/)
    TaskerCore::Worker.stop
    expect(get("/health/ready").code).to eq("503")
  end

  it "ends with the engine" do
    configure(web: { port: 0 })
    TaskerCore::Worker.start
    at = address
    TaskerCore.shutdown
    wait_until("the port is free") { refused?(at) }
  end

  def refused?(at)
    get("/health/live", at: at)
    false
  rescue SystemCallError
    true
  end

  it "wants its token" do
    configure(web: { port: 0, token: "hush" })
    TaskerCore::Worker.start
    expect([get("/metrics").code, get("/metrics", token: "hush").code]).to eq(%w[401 200])
    expect(get("/health").body).to eq('{"status":"healthy"}')
    expect(JSON.parse(get("/health", token: "hush").body)).to include("checks")
  end

  it "is not there in a process that only submits" do
    configure(web: { port: 0 })
    TaskerCore.submit(one_step { nil })
    expect(address).to be_nil
  end

  it "is left out when it is not wanted" do
    configure(web: { enabled: false })
    TaskerCore::Worker.start
    expect(address).to be_nil
  end

  it "takes its place again after a fork" do
    output, errors, = ruby(<<~RUBY, env: { "TASKER_WEB_PORT" => "0", "TASKER_DATABASE" => ":memory:" })
      require "net/http"
      TaskerCore.configure { |config| config.template_paths = [] }
      health = lambda do
        Net::HTTP.get_response(URI("http://\#{TaskerCore.status['web']['address']}/health/ready")).code
      end
      TaskerCore::Worker.start
      print health.call
      Process.wait(fork { TaskerCore::Worker.start; print health.call; TaskerCore.shutdown; exit!(0) })
      print health.call
    RUBY
    expect([output, errors]).to eq(["200200200", ""])
  end

  describe "and a forked child that outlives it" do
    def free_port
      TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
    end

    def env(port)
      { "TASKER_WEB_PORT" => port.to_s, "TASKER_DATABASE" => ":memory:" }
    end

    let(:start) { <<~RUBY }
      TaskerCore.configure { |config| config.template_paths = [] }
      TaskerCore::Worker.start
      puts TaskerCore.status["web"]["address"]
    RUBY

    it "gives the port back when the parent is killed" do
      port = free_port
      child = nil
      parent = "#{start}puts fork { sleep }\nsleep"
      start_ruby(parent, env: env(port)) do |output, pid|
        expect(output.gets).to eq("127.0.0.1:#{port}\n")
        child = Integer(output.gets)
        expect(get("/health/live", at: "127.0.0.1:#{port}").code).to eq("200") # the parent's own goes on
        Process.kill("KILL", pid)
      end
      expect(Process.kill(0, child)).to eq(1)
      output, errors, = ruby(start, env: env(port))
      expect([output, errors]).to eq(["127.0.0.1:#{port}\n", ""])
    ensure
      Process.kill("KILL", child) if child
    end

    it "gives it back to itself when it becomes a daemon" do
      port = free_port
      in_folder do |folder|
        # Process.daemon does not pass Process._fork.
        program = "#{start}parent = Process.pid\nProcess.daemon(true, true)\n" \
                  "Thread.pass until Process.ppid != parent\n#{start}"
        output, errors, = ruby("$stdout.reopen('#{folder}/said', 'a')\n$stdout.sync = true\n#{program}", env: env(port))
        said = wait_until("the daemon has said it") do
          lines = File.readlines("#{folder}/said", chomp: true)
          lines if lines.size == 2
        end
        expect([said, output, errors]).to eq([["127.0.0.1:#{port}"] * 2, "", ""])
      end
    end
  end
end
