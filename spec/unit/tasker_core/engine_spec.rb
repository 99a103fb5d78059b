# frozen_string_literal: true

RSpec.describe TaskerCore::Engine do
  it "opens on first use, once, and refuses changes from then on" do
    configure
    expect(TaskerCore::Native.open?).to be(false)
    2.times { TaskerCore.engine.open }
    expect(TaskerCore::Native.open?).to be(true)
    expect { TaskerCore.configure { |config| config.database = "x" } }.to raise_error(TaskerCore::ConfigurationError)
  end

  it "gives every engine it opens the templates of the process" do
    configure(handlers: { "one" => ->(_) {} })
    TaskerCore.template("early") { step :one, handler: "one" }
    expect(TaskerCore.submit("early").task_uuid).to match(/\A\h{8}-/)
    TaskerCore.shutdown
    expect(TaskerCore.submit("early").task_uuid).to match(/\A\h{8}-/)
  end

  it "stays closed when a template is refused, and says which" do
    in_folder do |folder|
      File.write("#{folder}/bad.yml", "name: bad\n")
      configure(template_paths: [folder])
      expect { TaskerCore.submit("bad") }.to raise_error(TaskerCore::TemplateError, /bad\.yml/)
      expect(TaskerCore::Native.open?).to be(false)
      TaskerCore.configure { |config| config.template_paths = [] }
    end
  end

  it "opens one engine for many threads" do
    configure
    Array.new(8) { Thread.new { TaskerCore.engine.open } }.each(&:join)
    expect(TaskerCore::Native.open?).to be(true)
  end

  it "lets settings change after it was closed" do
    configure
    TaskerCore.engine.open
    TaskerCore.engine.close
    expect { TaskerCore.configure { |config| config.concurrency = 3 } }.not_to raise_error
  end
end
