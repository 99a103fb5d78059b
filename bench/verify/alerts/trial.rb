# frozen_string_literal: true

module Verify
  # Owns: what becomes of a few alerts while their cause lasts, and after it: they are silent before, fire, and are
  # silent again. Refuses: an alert that fired before its cause was there: it says nothing.
  class Trial
    FIRE_SECONDS = 120
    RESOLVE_SECONDS = 90

    def initialize(watch, alerts)
      @watch = watch
      @alerts = alerts
      @calm = watch.silent(alerts, RESOLVE_SECONDS)
    end

    # Waits until they have fired.
    def fires
      @fired = @watch.fired(@alerts, FIRE_SECONDS)
    end

    # Waits until none of them fires any more. The first time counts.
    def resolves
      return if @resolved

      @resolved = @watch.silent(@alerts, RESOLVE_SECONDS)
    end

    def report(table)
      @alerts.each do |name|
        calm, fired, resolved = [@calm, @fired, @resolved].map { |times| times&.fetch(name, nil) }
        table.row(name, calm ? said(fired) : "BEFORE", said(fired && resolved), calm && fired && resolved)
        puts "    #{@watch.summaries[name]}"
      end
    end

    private

    def said(seconds)
      seconds ? format("%.1f s", seconds) : "NEVER"
    end
  end
end
