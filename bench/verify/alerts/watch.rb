# frozen_string_literal: true

require "json"

module Verify
  # Owns: what Prometheus says of its alerts, and waiting for it. Refuses: why they fire.
  class Watch
    POLL = 0.25

    # @return [Hash{String => String}] the summary of each alert that has fired
    attr_reader :summaries

    def initialize(prometheus)
      @url = "#{prometheus.url}/api/v1/alerts"
      @summaries = {}
    end

    # @return [Hash{String => Float}] for each that fired in that time, after how many seconds
    def fired(names, within)
      seen(names, within) { |name, firing| firing.include?(name) }
    end

    # @return [Hash{String => Float}] the same for those that do not fire, or no longer
    def silent(names, within)
      seen(names, within) { |name, firing| !firing.include?(name) }
    end

    private

    def seen(names, within)
      began = Services.now
      times = {}
      loop do
        now = firing
        (names - times.keys).each { |name| times[name] = Services.now - began if yield(name, now) }
        return times if times.size == names.size || Services.now - began > within

        sleep POLL
      end
    end

    def firing
      alerts = JSON.parse(Services.get(@url).body).dig("data", "alerts")
      alerts.select { |alert| alert["state"] == "firing" }.map do |alert|
        name = alert["labels"].values_at("alertname", "severity").join(" ")
        @summaries[name] ||= told(alert["annotations"])
        name
      end
    end

    # What Prometheus makes of a template that cannot be filled in.
    def told(annotations)
      wrong = annotations.values.grep(/<no value>|error expanding/).first
      raise "an annotation cannot be filled in: #{wrong}" if wrong

      annotations.fetch("summary")
    end
  end
end
