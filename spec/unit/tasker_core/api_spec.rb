# frozen_string_literal: true

RSpec.describe TaskerCore do
  it "yields its settings" do
    configure
    expect(described_class.configure { |config| config.concurrency = 4 }).to have_attributes(concurrency: 4)
    expect(described_class.configuration.concurrency).to eq(4)
  end

  it "yields its settings to who asks for them with a block" do
    configure
    expect(described_class.configuration { |config| config.concurrency = 3 }).to have_attributes(concurrency: 3)
    expect(described_class.configuration.concurrency).to eq(3)
  end

  it "takes templates from files" do
    configure
    in_folder do |folder|
      File.write("#{folder}/t.yml", "name: filed\nsteps:\n  - name: one\n    handler: One\n")
      described_class.load_template("#{folder}/t.yml")
      expect(described_class.submit("filed").steps.map(&:name)).to eq(["one"])
    end
  end

  it "takes templates while the engine is open" do
    configure
    described_class.engine.open
    described_class.template("late") { step :one, handler: "One" }
    expect(described_class.submit("late").name).to eq("late")
  end

  it "refuses templates at once, not at the first submission" do
    expect { described_class.template("cycle") { step :a, handler: "A", depends_on: :a } }
      .to raise_error(TaskerCore::TemplateError, /cycle.*a/m)
    expect { described_class.template("nan") { step :a, handler: "A", config: { rate: Float::NAN } } }
      .to raise_error(TaskerCore::TemplateError, /NaN/)
  end

  it "tells how the engine is" do
    configure
    expect(described_class.status).to be_a(Hash)
  end

  it "shuts down before anything was opened, and twice" do
    2.times { expect { described_class.shutdown }.not_to raise_error }
  end

  it "does nothing when it is required: no thread, no trap, no file" do
    output, errors, = ruby(<<~RUBY, prelude: "")
      before = [Thread.list.size, Dir.children("/proc/self/task").size, Dir.children(".").sort]
      traps = %w[INT TERM].map { |name| trap(name, "DEFAULT").tap { |old| trap(name, old) } }
      require "tasker_core"
      after = [Thread.list.size, Dir.children("/proc/self/task").size, Dir.children(".").sort]
      print before == after, traps == %w[INT TERM].map { |name| trap(name, "DEFAULT") }
    RUBY
    expect([output, errors]).to eq(%w[truetrue] + [""])
  end
end
