# frozen_string_literal: true

require "tasker_core"

module EventChaos
  # Owns: what must be true in the end.
  class Verdict
    STEPS = 3

    def initialize(database, log, tasks)
      @log = log
      @tasks = tasks
      TaskerCore.configure do |config|
        config.database = database
        config.template_paths = []
      end
    end

    # @return [Boolean] whether all of it is
    def print
      checks = { "each step has published one event": published, "every group got every event": got,
                 "no key has a gap and none is out of order": ordered, "nothing is left": left }
      checks.each { |check, wrong| puts "  #{wrong ? 'NO ' : 'yes'} #{check}#{wrong && ": #{wrong}"}" }
      puts "verdict: #{checks.values.none? ? 'fine' : 'BROKEN'}"
      checks.values.none?
    ensure
      TaskerCore.shutdown
    end

    private

    # A group of its own reads all there is: the events table is the store's.
    def events
      @events ||= begin
        native = TaskerCore::Native
        TaskerCore.engine.open
        native.event_group_open(JSON.generate(name: "verdict", patterns: ["#"], from: "beginning"))
        read = []
        loop do
          batch = JSON.parse(native.event_group_claim("verdict", 1000, 10.0, 0.5))
          break read if batch.empty?

          native.event_group_settle("verdict", JSON.generate(batch.map do |one|
                                                               { delivery: one["delivery"], ok: true }
                                                             end))
          read.concat(batch.map { |one| one["event"] })
        end
      end
    end

    def published
      by_step = events.map { |event| event["metadata"]["step_uuid"] }.tally
      extra = by_step.count { |_, count| count > 1 }
      return if by_step.size == @tasks * STEPS && extra.zero?

      "#{by_step.size} of #{@tasks * STEPS} steps have one, #{extra} more than one"
    end

    def lines
      @lines ||= File.readlines(@log).map { |line| line.split.then { |group, key, n, id| [group, key, n.to_i, id] } }
    end

    def got
      ids = events.map { |event| event["event_id"] }
      missing = %w[ordered unordered].to_h do |group|
        [group, ids.size - (ids & lines.select { |of,| of == group }.map(&:last)).size]
      end
      twice = lines.size - lines.uniq { |group, _, _, id| [group, id] }.size
      puts "  (#{lines.size} deliveries, #{twice} of them again)"
      missing if missing.values.any?(&:positive?)
    end

    # Each event of a key came, at first, after all before it.
    def ordered
      latest = Hash.new(0)
      wrong = lines.count do |group, key, n,|
        next unless group == "ordered"

        gap = n > latest[key] + 1
        latest[key] = [latest[key], n].max
        gap
      end
      "#{wrong} times" if wrong.positive?
    end

    def left
      groups = TaskerCore.event_groups.reject { |group| group.name == "verdict" }
      rest = groups.to_h { |group| [group.name, [group.pending, group.retrying, group.dead]] }
      rest if rest.values.flatten.any?(&:positive?)
    end
  end
end
