# frozen_string_literal: true

require "yaml"

module Verify
  # Owns: the alerts there are, and a copy of their rules that does not take all day: each wait and each window is
  # seconds long. Refuses: touching a threshold.
  class Rules
    FILE = File.expand_path("../../../grafana/alerts.yml", __dir__)
    WAIT = "2s"
    WINDOW = "15s"

    # @return [Array<String>] "TaskerApiSlow critical", in the order of the file
    def self.names
      rules = YAML.safe_load_file(FILE).fetch("groups").flat_map { |group| group.fetch("rules") }
      rules.map { |rule| "#{rule.fetch('alert')} #{rule.dig('labels', 'severity')}" }
    end

    # @return [String] the name of the copy
    def self.shortened(folder)
      text = File.read(FILE).gsub(/\bfor: \d+m$/, "for: #{WAIT}").gsub(/\[\d+m\]/, "[#{WINDOW}]")
      File.join(folder, "alerts.yml").tap { |copy| File.write(copy, text) }
    end
  end
end
