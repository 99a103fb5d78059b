# frozen_string_literal: true

# The worker processes of bench/chaos.rb, always as many: who is killed is replaced, who ends by itself too. At most
# one is stopped at a time.
class Workers
  Worker = Struct.new(:pid, :file, :spared_until)
  Counts = Struct.new(:started, :killed, :stopped, :left, :never_began)

  # What one may do with its time after a pause, before it may be killed: it has something to tell.
  SPARED_SECONDS = 2.5

  attr_reader :counts

  def initialize(size, folder, random, &starter)
    @size = size
    @folder = folder
    @random = random
    @starter = starter
    @running = []
    @not_before = 0
    @counts = Counts.new(0, 0, 0, 0, 0)
    fill
  end

  def fill
    start while @running.size < @size && now >= @not_before
  end

  # Those that ended without having been told to. One that had begun to work must not do that; one that starts while
  # the server is away may.
  def bury
    gone = @running.select { |worker| Process.wait(worker.pid, Process::WNOHANG) }
    @running -= gone
    @paused = nil if gone.include?(@paused)
    began, never_began = gone.partition { |worker| File.exist?(worker.file) }
    @counts.left += began.size
    @counts.never_began += never_began.size
    raise "workers do not start" if @counts.never_began > 100

    @not_before = now + 0.5 if never_began.any?
    fill
  end

  def kill_one
    worker = (@running - [@paused]).reject { |one| one.spared_until > now }.sample(random: @random) or return
    Process.kill(:KILL, worker.pid)
    Process.wait(worker.pid)
    @running.delete(worker)
    @counts.killed += 1
    fill
  end

  def pause_one
    return if @paused

    @paused = @running.sample(random: @random) or return
    Process.kill(:STOP, @paused.pid)
    @counts.stopped += 1
  end

  def resume
    return unless @paused

    @paused.spared_until = now + SPARED_SECONDS
    Process.kill(:CONT, @paused.pid)
    @paused = nil
  end

  # Who has only just been started may not know yet what SIGTERM means.
  # @return [Array<Integer, nil>] exit statuses; nil where there is none
  def finish(seconds)
    resume
    deadline = now + seconds
    sleep 0.02 until @running.all? { |worker| File.exist?(worker.file) } || now > deadline
    @running.each { |worker| Process.kill(:TERM, worker.pid) }
    @running.map do |worker|
      sleep 0.02 until (status = Process.wait2(worker.pid, Process::WNOHANG)&.last) || now > deadline
      Process.kill(:KILL, worker.pid) && Process.wait(worker.pid) unless status
      status&.exitstatus
    end
  ensure
    @running.clear
  end

  def kill_all
    @running.each do |worker|
      Process.kill(:KILL, worker.pid)
      Process.wait(worker.pid)
    rescue SystemCallError
      nil
    end
  end

  # As far as they came to tell: what one that was killed refused in its last moments is not in it.
  def refused
    Dir[File.join(@folder, "refused-*")].reject { |path| path.end_with?(".new") }.sum { |path| File.read(path).to_i }
  end

  private

  def start
    @counts.started += 1
    file = File.join(@folder, "refused-#{@counts.started}")
    @running << Worker.new(@starter.call(file), file, 0)
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
