# frozen_string_literal: true

require "English"

module Chaos
  # A process of bench/chaos/process.rb that we started, or the daemon that it became.
  class Child
    SCRIPT = File.join(__dir__, "process.rb")
    LIB = File.join(ENV.fetch("BASE", File.expand_path("../..", __dir__)), "lib")

    attr_reader :pid

    def initialize(env, console, *arguments)
      @pid = spawn(env, RbConfig.ruby, "-I#{LIB}", SCRIPT, *arguments, %i[out err] => [console, "a"])
      @waiter = Process.detach(@pid)
    end

    # From now on it is this process that counts; nobody waits for it but its own parent.
    def become(pid)
      return if pid == @pid

      @waiter.join
      @pid = pid
      @waiter = nil
    end

    def gone?
      @waiter ? !@waiter.alive? : Child.gone?(@pid)
    end

    # @return [Process::Status, nil] nil when it is not ours to know, or has not ended
    def status
      @waiter.value if @waiter && !@waiter.alive?
    end

    def kill
      signal(:KILL)
      sleep 0.002 until gone?
    end

    def signal(name)
      Process.kill(name, @pid)
    rescue Errno::ESRCH
      nil
    end

    # Also when nobody has buried it yet.
    def self.gone?(pid)
      stat = "/proc/#{pid}/stat"
      return File.read(stat).sub(/\A.*\) /, "").start_with?("Z", "X") if File.directory?("/proc/self")

      Process.kill(0, pid)
      false
    rescue Errno::ENOENT, Errno::ESRCH
      true
    end
  end
end
