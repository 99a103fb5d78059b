# frozen_string_literal: true

require "fileutils"
require_relative "../debian"

module Chaos
  # Owns: the wall clocks of single processes, by libfaketime: each has a file that says how far it is off. Monotonic
  # clocks stay right, as they do when a machine's time is set.
  class Clocks
    PLACES = ["/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1"].freeze
    # Seconds off, either way.
    JUMP = (60..3600)

    attr_reader :jumps

    def initialize(folder)
      @folder = folder
      @library = find || (Debian.install("faketime") && find)
      @jumps = 0
    end

    def available?
      !@library.nil?
    end

    # @return [Hash{String => String}] the environment of a process whose clock can be set by that name
    def env(name)
      return {} unless available?

      set(name, 0)
      { "LD_PRELOAD" => @library, "FAKETIME_TIMESTAMP_FILE" => path(name), "FAKETIME_CACHE_DURATION" => "1",
        "FAKETIME_DONT_FAKE_MONOTONIC" => "1" }
    end

    # @return [Integer] the seconds it is off now
    def jump(name, random)
      @jumps += 1
      seconds = random.rand(4).zero? ? 0 : random.rand(JUMP) * [-1, 1].sample(random: random)
      set(name, seconds)
    end

    # Never half a number, whoever reads it meanwhile.
    def set(name, seconds)
      return seconds unless available?

      File.write("#{path(name)}.new", format("%+d\n", seconds))
      File.rename("#{path(name)}.new", path(name))
      seconds
    end

    # The library's shared memory stays behind when its process is killed.
    def clean(pids)
      pids.each do |pid|
        FileUtils.rm_f(["/dev/shm/faketime_shm_#{pid}", "/dev/shm/sem.faketime_sem_#{pid}"])
      end
    end

    private

    def path(name)
      File.join(@folder, "clock-#{name}")
    end

    def find
      PLACES.flat_map { |place| Dir[place] }.first
    end
  end
end
