# frozen_string_literal: true

require "open3"

# With `durability: :task` a crash of the server takes what was settled last. The workers that live must not go on from
# what they remember of it.
RSpec.describe "A server that forgets its last commits" do
  command = File.expand_path("../../bin/postgres", __dir__)

  before(:all) { skip "needs PostgreSQL" if Dir["/usr/lib/postgresql/*/bin/initdb"].empty? }

  define_method(:postgres) do |*arguments|
    out, errors, status = Open3.capture3({ "TEST_DATABASE_URL" => nil }, command, *arguments)
    raise "bin/postgres #{arguments.join(' ')}: #{errors}" unless status.success?

    out.chomp
  end

  let(:ran) { Queue.new }
  let(:gates) { Hash.new { |gates, name| gates[name] = Queue.new } }

  # A server that writes to its disk only where somebody waits for it.
  def with_server
    folder = postgres("folder")
    yield postgres("start", "--set", "wal_writer_delay=10s", folder), folder
  ensure
    reset_engine
    postgres("remove", folder)
  end

  def rows(url, sql)
    Open3.capture2("psql", "-XAtc", sql, url).first.lines(chomp: true)
  end

  # Two steps that wait at a gate, each task at its own, and one that does not.
  def start_worker(url)
    handler = lambda do |step|
      ran << [step.step_name, step.input[:n], step.attempt]
      gates[[step.step_name, step.input[:n]]].pop
    end
    configure(database: url, durability: :task, handlers: { "gate" => handler, "last" => ->(_) { 1 } })
    TaskerCore.template("three") do
      step :first, handler: "gate"
      step :second, handler: "gate", depends_on: :first
      step :third, handler: "last", depends_on: :second
    end
    TaskerCore::Worker.start(concurrency: 6)
  end

  # Whether it has forgotten what was settled. A commit that fills a page of its log makes it write the page at once.
  def forgets?(url, folder)
    postgres("kill", folder)
    expect(postgres("start", folder)).to eq(url)
    rows(url, "SELECT DISTINCT state FROM tasker.steps WHERE name = 'first'").none?("complete")
  end

  # Two tasks whose first steps are settled, and whose second ones run.
  def submit
    [ran, gates].each(&:clear)
    2.times { |n| %w[first second].each { |name| gates[[name, n]] } }
    tasks = Array.new(2) { |n| TaskerCore.submit("three", { n: n }) }
    2.times { ran.pop }
    2.times { |n| gates[["first", n]] << n }
    2.times { expect(ran.pop).to match(["second", 0..1, 1]) }
    tasks
  end

  # With a server that has forgotten, one of several.
  def with_forgetful_server
    forgot = 8.times.any? do
      with_server do |url, folder|
        start_worker(url)
        tasks = submit
        forgets = forgets?(url, folder)
        forgets ? yield(url, tasks) : open_gates
        forgets
      end
    end
    expect(forgot).to be(true), "no server has forgotten anything"
  end

  def open_gates
    gates.each_value { |gate| 3.times { gate << 1 } }
  end

  it "has those steps run again, and no others" do
    with_forgetful_server do |url, tasks|
      open_gates

      expect do
        expect(tasks.map { |task| task.wait(timeout: 20).state }).to eq(%w[complete complete])
      end.not_to output(/panicked/).to_stderr_from_any_process
      expect(rows(url, "SELECT DISTINCT state FROM tasker.steps")).to eq(["complete"])
      expect(Array.new(4) { ran.pop }).to match_array([0, 1].flat_map { |n| [["first", n, 1], ["second", n, 1]] })
      expect(ran).to be_empty
      gaps = "SELECT task_id FROM tasker.journal GROUP BY 1 HAVING max(seq) <> count(*)"
      expect(rows(url, gaps)).to eq([])
    end
  end
end
