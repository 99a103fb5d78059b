# frozen_string_literal: true

require "fcntl"

# A SQLite file in which another process is in the middle of a transaction that writes, and stays there.
module LockedDatabase
  # SQLite's lock of the writer: byte 120 of the -shm file. A `struct flock` as Linux has it on 64 bits.
  HOLD = <<~RUBY
    require "fcntl"
    shm = File.open("%s-shm", "r+b")
    shm.fcntl(Fcntl::F_SETLKW, [Fcntl::F_WRLCK, IO::SEEK_SET, 120, 1, 0].pack("s!s!x4q!q!i!x4"))
    puts "held"
    $stdin.read
  RUBY

  # Runs the block while the file cannot be written; `busy_timeout` is how long that is put up with.
  def while_locked(file)
    skip "knows Linux's struct flock only" unless RUBY_PLATFORM.match?(/\A(?:x86_64|aarch64)-linux/)

    IO.popen([RbConfig.ruby, "-e", "$stdout.sync = true\n#{format(HOLD, file)}"], "r+") do |holder|
      raise "the file could not be locked" unless holder.gets == "held\n"

      yield
    ensure
      holder.close_write
    end
  end
end

RSpec.configure { |config| config.include LockedDatabase }
