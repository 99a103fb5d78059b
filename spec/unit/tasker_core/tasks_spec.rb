# frozen_string_literal: true

require "open3"
require "rbconfig"

RSpec.describe "tasker_core/tasks" do
  around { |example| in_folder { |folder| (@folder = folder) && example.run } }

  # Runs rake with a Rakefile of these lines.
  # @return [Array(String, String, Process::Status)]
  def rake(*arguments, rakefile: 'require "tasker_core/tasks"', database: "#{@folder}/tasker.sqlite3")
    File.write("#{@folder}/Rakefile", rakefile)
    env = { "LOG_LEVEL" => "off", "TASKER_DATABASE" => database, "DATABASE_URL" => nil }
    command = [RbConfig.ruby, "-w", "-I", Subprocess::LIB, "-S", "rake", "--silent", *arguments]
    Open3.capture3(env, *command, chdir: @folder)
  end

  it "are listed without loading the extension" do
    listed, errors, = rake("-T", rakefile: <<~RUBY)
      require "tasker_core/tasks"
      at_exit { warn "loaded" if defined?(TaskerCore) }
    RUBY
    expect(listed.scan(/^rake (\S+)/).flatten).to eq(%w[tasker:migrate tasker:migrate:sql])
    expect(errors).to eq("")
  end

  it "migrate, and say from which version to which" do
    version = TaskerCore::Native.migrate(JSON.generate(database: "#{@folder}/other.sqlite3")).last
    expect(version).to be > 0
    expect(rake("tasker:migrate")).to match(["The schema went from version 0 to #{version}\n", "", be_success])
    expect(rake("tasker:migrate")).to match(["The schema is at version #{version} already\n", "", be_success])
  end

  it "take the settings of an environment task" do
    out, errors, = rake("tasker:migrate", rakefile: <<~RUBY)
      require "tasker_core/tasks"
      task :environment do
        require "tasker_core"
        TaskerCore.configure { |config| config.database = "#{@folder}/of_the_application.sqlite3" }
      end
    RUBY
    expect([out, errors]).to match([/from version 0/, ""])
    expect(Dir.children(@folder)).to include("of_the_application.sqlite3")
  end

  it "end with status 1 and the reason" do
    _, errors, status = rake("tasker:migrate", database: "/dev/null/tasker.sqlite3")
    expect([errors, status.exitstatus]).to match([%r{\Atasker:migrate: .*/dev/null.*\n\z}, 1])
  end

  it "print the SQL of the schema, and nothing else" do
    expect(rake("tasker:migrate:sql")).to match([TaskerCore::Native.migration_sql, "", be_success])
  end

  it "come with Rails by themselves" do
    listed, errors, = rake("-T", rakefile: <<~RUBY)
      module Rails
        class Railtie
          def self.rake_tasks(&block) = block.call
        end
      end
      require "tasker_core"
    RUBY
    expect([listed.scan(/^rake (\S+)/).flatten, errors]).to eq([%w[tasker:migrate tasker:migrate:sql], ""])
  end
end
