# frozen_string_literal: true

RSpec.describe "lib/tasker_core/native.rb" do
  it "says what to do when there is no extension" do
    in_folder do |folder|
      FileUtils.mkdir_p("#{folder}/lib/tasker_core")
      FileUtils.cp(File.expand_path("../../../lib/tasker_core/native.rb", __dir__), "#{folder}/lib/tasker_core")
      _, errors, status = ruby("require #{"#{folder}/lib/tasker_core/native".dump}",
                               prelude: "require 'rbconfig'; $LOAD_PATH.clear\n")
      expect(status).not_to be_success
      expect(errors).to include("cannot load its extension", "bin/setup")
    end
  end
end
