# frozen_string_literal: true

RSpec.describe "Tasker" do
  it "is the same module" do
    expect(Tasker).to equal(TaskerCore)
    expect(Tasker::VERSION).to eq(TaskerCore::VERSION)
  end

  it "yields the settings, wherever one asks for them" do
    seen = []
    Tasker.configuration { |config| seen << config }
    Tasker::Configuration.configuration { |config| seen << config }
    Tasker.configure { |config| seen << config }
    expect(seen).to all(equal(TaskerCore.configuration)).and have_attributes(size: 3)
    expect(Tasker::Configuration.configuration).to equal(TaskerCore.configuration)
  end

  it "is left alone when somebody else has it" do
    said, errors, = ruby(<<~RUBY, prelude: "")
      module Tasker; VERSION = "3"; end
      require "tasker_core"
      print Tasker.name, Tasker::VERSION, Tasker.respond_to?(:configuration), Object.const_source_location(:Tasker)[0]
    RUBY
    expect([said, errors]).to eq(["Tasker3false-e", ""])
  end

  it "is left alone when somebody's loader would find it" do
    in_folder do |folder|
      File.write("#{folder}/theirs.rb", "module Tasker; THEIRS = true; end")
      said, = ruby(%(Object.autoload(:Tasker, "#{folder}/theirs.rb"); require "tasker_core"; print Tasker::THEIRS),
                   prelude: "")
      expect(said).to eq("true")
    end
  end
end
