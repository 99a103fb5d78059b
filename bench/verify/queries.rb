# frozen_string_literal: true

require "json"
require "net/http"

module Verify
  # Every query that operators were given: those of the reference documents as they are written, those of the dashboard
  # with its two variables filled in.
  class Queries
    DASHBOARD = "grafana/tasker_core.json"
    # As the reference's opentelemetry-improvements.md has them; the file itself, when REFERENCE names its folder, wins.
    LATENCY = "rate(tasker_domain_events_publish_duration_milliseconds_bucket[5m])"
    REFERENCE = [
      "sum by (namespace) (rate(tasker_domain_events_published_total[5m]))",
      "rate(tasker_domain_events_failed_total[5m]) /\nrate(tasker_domain_events_published_total[5m])",
      "histogram_quantile(0.95,\n  sum by (le) (#{LATENCY})\n)",
      "histogram_quantile(0.95,\n  sum by (delivery_mode, le) (\n    #{LATENCY}\n  )\n)"
    ].freeze
    VARIABLES = { "$__rate_interval" => "1m", "$namespace" => ".*" }.freeze

    def self.reference
      folder = ENV.fetch("REFERENCE", "")
      return REFERENCE if folder.empty?

      Dir[File.join(folder, "*.md")].flat_map { |file| File.read(file).scan(/^```promql\n(.*?)\n```/m).flatten }
    end

    def self.dashboard(root)
      panels = JSON.parse(File.read(File.join(root, DASHBOARD))).fetch("panels")
      expressions = panels.flat_map { |panel| panel.fetch("targets", []) + panel.fetch("panels", []) }
      expressions.filter_map { |target| target["expr"] }.uniq.map { |query| query.gsub(/\$\w+/, VARIABLES) }
    end

    def initialize(prometheus)
      @url = prometheus.url
    end

    # @return [Array<String>] the values, one for each series
    # @raise [RuntimeError] Prometheus cannot run it
    def values(query)
      ask(query).map { |series| series["value"].last }
    end

    # @return [Hash{String => Float}] by one label
    def by(label, counter)
      ask("sum by (#{label}) (#{counter})").to_h { |series| [series["metric"][label], series["value"].last.to_f] }
    end

    private

    def ask(query)
      answer = JSON.parse(Net::HTTP.post_form(URI("#{@url}/api/v1/query"), query: query).body)
      raise answer.fetch("error") unless answer["status"] == "success"

      answer.dig("data", "result")
    end
  end
end
