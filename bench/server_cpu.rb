# frozen_string_literal: true

require_relative "psql"

# The processor time of a PostgreSQL server of this machine, all its processes together (Linux).
class ServerCpu
  TICKS = 100.0

  # @param url [String] a database of the server; its role may read settings
  def initialize(url)
    folder = Psql.value(url, "SELECT current_setting('data_directory') AS folder")
    @postmaster = Integer(File.foreach(File.join(folder, "postmaster.pid")).first)
  end

  # Of the postmaster, its children, and those of its children that have ended.
  def seconds
    ticks = Dir["/proc/[0-9]*/stat"].sum do |path|
      fields = File.read(path).sub(/\A.*\) /, "").split
      next fields.values_at(11, 12, 13, 14).sum(&:to_i) if path == "/proc/#{@postmaster}/stat"

      fields[1].to_i == @postmaster ? fields.values_at(11, 12).sum(&:to_i) : 0
    rescue Errno::ENOENT, Errno::ESRCH
      0
    end
    ticks / TICKS
  end
end
