# frozen_string_literal: true

require_relative "child"

module Chaos
  # The client processes: submitters, one after the other, each with a part of the tasks, and operators, one after the
  # other. Each leaves as a process does that has done its work, unless it is killed; then another one begins anew.
  class Clients
    SECONDS = 3

    attr_reader :started, :killed, :crashed

    # @param starter [#call] starts a process with these arguments
    def initialize(tasks, seconds, ledger, &starter)
      @parts = split(tasks, seconds)
      @ledger = ledger
      @starter = starter
      @started = @killed = 0
      @crashed = []
    end

    # Puts others in the place of those that have left.
    def tend
      [@submitter, @operator].compact.each { |child| note_end(child) }
      if @submitter.nil? || @submitter.gone?
        @parts.shift if @submitter&.status&.success?
        @submitter = @parts.any? ? start("submit", *@parts.first) : nil
      end
      @operator = start("operate", SECONDS.to_s) if @operator.nil? || @operator.gone?
    end

    def submitted?
      @parts.empty?
    end

    # Whether the operators have had their way with all that was acknowledged.
    def done?
      submitted? && (wanted - @ledger.outcomes.keys).empty?
    end

    def kill_one(random)
      child = [@submitter, @operator].compact.reject(&:gone?).sample(random: random) or return
      child.kill
      @dying = child
      @killed += 1
    end

    # @return [Boolean] whether they came to their end
    def finish(seconds)
      deadline = now + seconds
      [@submitter, @operator].compact.all? do |child|
        sleep 0.02 until child.gone? || now > deadline
        child.gone? && child.status.success?
      end
    end

    def kill_all
      [@submitter, @operator].compact.reject(&:gone?).each(&:kill)
    end

    private

    def split(tasks, seconds)
      parts = [(seconds / SECONDS.to_f).round, 1].max
      size = (tasks / parts.to_f).ceil
      (1..tasks).step(size).map { |first| [first, [first + size - 1, tasks].min, SECONDS].map(&:to_s) }
    end

    # One may end badly when the server is away; not all of them.
    def note_end(child)
      return if !child.gone? || child.equal?(@dying) || child.status.success?

      @crashed |= [child]
      raise "clients do not come to their end: the console says why" if @crashed.size > 30
    end

    def wanted
      @ledger.acknowledged.keys.select { |number| Work.remedy(number) }
    end

    def start(*arguments)
      @started += 1
      @starter.call(*arguments)
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
