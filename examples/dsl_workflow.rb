# frozen_string_literal: true

# The smallest whole workflow: two handlers, a template written in Ruby, a database in memory.
#
#     ruby examples/dsl_workflow.rb

checkout = File.expand_path("../lib", __dir__)
$LOAD_PATH.unshift(checkout) if File.directory?(checkout)
ENV["LOG_LEVEL"] ||= "warn"
require "tasker_core"

class CountWords < TaskerCore::StepHandler
  def call(step)
    { words: step.input[:text].split.size }
  end
end

class WriteReport < TaskerCore::StepHandler
  def call(step)
    "#{step.dependency(:count)[:words]} words"
  end
end

TaskerCore.configure { |config| config.database = ":memory:" }

TaskerCore.template "word_report" do
  input_schema type: "object", required: ["text"]
  step :count, handler: CountWords
  step :report, handler: WriteReport, depends_on: :count
end

TaskerCore::Worker.start(concurrency: 2)
task = TaskerCore.submit("word_report", { text: "a workflow that counts its words" })
task.wait(timeout: 10)
puts "#{task.state}: #{task.result[:report]}"
TaskerCore.shutdown

abort "the task is #{task.state}" unless task.complete?
abort "wrong result" unless task.result[:report] == "6 words"
