# frozen_string_literal: true

require "json"
require_relative "child"

module Chaos
  # The worker processes, always as many: who is killed is replaced, who ends by itself too. At most one is stopped at
  # a time. One in two is a daemon, where daemons are wanted.
  class Workers
    Worker = Struct.new(:child, :file, :clock, :spared_until) do
      def told
        JSON.parse(File.read(file))
      rescue Errno::ENOENT
        nil
      end

      def began?
        File.exist?(file)
      end
    end
    Counts = Struct.new(:started, :daemons, :killed, :stopped, :left, :never_began)
    # What one may do with its time after a pause, before it may be killed: it has something to tell.
    SPARED_SECONDS = 2.5

    # @return [Array<Integer>] pids: of those that were killed or stopped, and of all
    attr_reader :counts, :harmed, :pids

    # @param starter [#call] starts a worker: kind, name, file
    def initialize(size, folder, random, kinds, &starter)
      @size = size
      @folder = folder
      @random = random
      @kinds = kinds
      @starter = starter
      @running = []
      @not_before = 0
      @counts = Counts.new(0, 0, 0, 0, 0, 0)
      @harmed = []
      @pids = []
      fill
    end

    # Those that ended without having been told to. One that had begun to work must not do that; one that starts while
    # the server is away may.
    def bury
      announce
      gone = @running.select { |worker| worker.child.gone? }
      # The daemon may have announced itself just before.
      announce
      gone.select! { |worker| worker.child.gone? && !becoming?(worker) }
      @running -= gone
      @paused = nil if gone.include?(@paused)
      began, never_began = gone.partition(&:began?)
      @counts.left += began.size
      @counts.never_began += never_began.size
      raise "workers do not start: the console says why" if @counts.never_began > 30 + @counts.killed

      @not_before = now + 0.5 if never_began.any?
      fill
    end

    def kill_one
      worker = choose { |one| one != @paused && one.spared_until < now } or return
      worker.child.kill
      @harmed << worker.child.pid
      @running.delete(worker)
      @counts.killed += 1
      fill
    end

    def pause_one
      return if @paused

      @paused = choose or return
      @paused.child.signal(:STOP)
      @harmed << @paused.child.pid
      @counts.stopped += 1
    end

    def resume
      return unless @paused

      @paused.spared_until = now + SPARED_SECONDS
      @paused.child.signal(:CONT)
      @paused = nil
    end

    # @return [String, nil] the name of a clock
    def a_clock
      choose&.clock
    end

    def clocks
      @running.map(&:clock)
    end

    # Who has only just been started may not know yet what SIGTERM means.
    # @return [Array<Boolean>] whether each of the last ones stopped as it should
    def finish(seconds)
      resume
      deadline = now + seconds
      until @running.all?(&:began?) || now > deadline
        bury
        sleep 0.02
      end
      announce
      @running.each { |worker| worker.child.signal(:TERM) }
      @running.map { |worker| stopped?(worker, deadline) }
    ensure
      @running.clear
    end

    # Daemons too that have not said yet who they are.
    def kill_all
      deadline = now + 5
      sleep 0.02 until announce.none? { |worker| becoming?(worker) } || now > deadline
      @running.each { |worker| worker.child.kill }
    end

    # As far as they came to tell: what one that was killed refused in its last moments is not in it.
    def refused
      Dir[File.join(@folder, "worker-*.json")].sum { |path| JSON.parse(File.read(path))["refused"] }
    end

    private

    def fill
      start while @running.size < @size && now >= @not_before
    end

    def start
      @counts.started += 1
      kind = @kinds.sample(random: @random)
      @counts.daemons += 1 if kind == "daemon"
      clock = "worker-#{@counts.started}"
      file = File.join(@folder, "#{clock}.json")
      @running << Worker.new(@starter.call(kind, clock, file), file, clock, 0)
      @pids << @running.last.child.pid
    end

    # Daemons say who they are.
    def announce
      @running.each do |worker|
        pid = worker.told&.fetch("pid") or next
        worker.child.become(pid)
        @pids |= [pid]
      end
    end

    # It has left its launcher, well, and has not told anything yet. It may take a moment, but not for ever.
    def becoming?(worker)
      return false if worker.began? || !worker.child.status&.success?

      worker.spared_until = now + 10 if worker.spared_until.zero?
      now < worker.spared_until
    end

    # One of those that work.
    def choose(&rule)
      @running.select(&:began?).select { |worker| rule.nil? || rule.call(worker) }.sample(random: @random)
    end

    def stopped?(worker, deadline)
      sleep 0.02 until worker.child.gone? || now > deadline
      worker.child.kill unless worker.child.gone?
      worker.told&.key?("stopped") && worker.child.status.then { |status| status.nil? || status.success? }
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
