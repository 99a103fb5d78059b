# frozen_string_literal: true

require "open3"
require "rbconfig"

# Ruby programs in processes of their own.
module Subprocess
  LIB = File.expand_path("../../lib", __dir__)
  PRELUDE = <<~RUBY
    $stdout.sync = true
    require "tasker_core"
  RUBY

  # Runs the program to its end.
  # @return [Array(String, String, Process::Status)] its output, its errors, its status
  def ruby(program, env: {}, prelude: PRELUDE)
    *said, status = Open3.capture3(environment(env), RbConfig.ruby, "-w", "-I", LIB, "-e", prelude + program)
    # Log lines are UTF-8, also where there is no locale.
    [*said.map { |text| text.force_encoding(Encoding::UTF_8) }, status]
  end

  # Starts the program, yields its output and its pid, and sees that it ends.
  # @return [Process::Status]
  def start_ruby(program, env: {})
    input, output, thread = Open3.popen2(environment(env), RbConfig.ruby, "-w", "-I", LIB, "-e", PRELUDE + program)
    input.close
    output.set_encoding(Encoding::UTF_8)
    yield output, thread.pid
    thread.value
  ensure
    output&.close
    kill(thread) if thread&.alive?
  end

  private

  def environment(env)
    { "LOG_LEVEL" => "off", "GC_STRESS" => nil, "TASKER_DATABASE" => nil, "DATABASE_URL" => nil }.merge(env)
  end

  def kill(thread)
    Process.kill("KILL", thread.pid)
    thread.join
  rescue Errno::ESRCH
    nil
  end
end
