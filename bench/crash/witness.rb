# frozen_string_literal: true

# One line for each run of a handler, written at its beginning with a single append: what was written
# survives a SIGKILL of the process.
module Witness
  FORMAT = "%-36s %-10s %6d %10d %16s\n"
  LINE_BYTES = format(FORMAT, "", "", 0, 0, "").bytesize

  Run = Struct.new(:task_uuid, :step, :attempt, :pid, :nonce)

  # @return [Array<Run>]
  def self.read(path)
    File.foreach(path).map do |line|
      task_uuid, step, attempt, pid, nonce = line.split
      Run.new(task_uuid, step, Integer(attempt), Integer(pid), nonce)
    end
  end
end
