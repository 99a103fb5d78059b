# frozen_string_literal: true

# The dashboard asks only for metrics and labels there are, and shows the panels and thresholds operators were promised.
RSpec.describe "grafana/tasker_core.json" do
  dashboard = JSON.parse(File.read(File.expand_path("../../grafana/tasker_core.json", __dir__)))
  panels = dashboard["panels"].reject { |panel| panel["type"] == "row" }
  queries = panels.flat_map { |panel| panel["targets"].map { |target| target["expr"] } }

  let(:catalogue) { JSON.parse(TaskerCore::Native.metrics_catalogue).to_h { |metric| [metric["name"], metric] } }

  # [[metric, labels asked for], ...]
  def asked(query)
    query.scan(/\b((?:tasker|router|process)_\w+)(?:\{([^}]*)\})?/).map do |name, matchers|
      [name, matchers.to_s.scan(/(\w+)\s*(?:=~|!~|!=|=)/).flatten]
    end
  end

  def known(name)
    base = name.sub(/_(bucket|sum|count)\z/, "")
    (catalogue[base] if base != name && catalogue.dig(base, "kind") == "histogram") || catalogue[name]
  end

  queries.uniq.each do |query|
    it "can answer #{query}" do
      expect(asked(query)).not_to be_empty
      grouped = query.scan(/\bby \(([^)]*)\)/).flat_map { |(labels)| labels.split(/,\s*/) } - %w[le instance]
      asked(query).each do |name, labels|
        metric = known(name)
        expect(metric).not_to be_nil, "#{name} is not in the catalogue"
        expect(metric["labels"]).to include(*labels, *grouped)
        expect(metric["kind"] == "histogram").to eq(name != metric["name"]), name
        expect(query).to match(/rate\(#{name}/) if metric["kind"] == "counter"
      end
    end
  end

  it "leaves no metric of the gem unseen" do
    shown = queries.flat_map { |query| asked(query).map { |name, _| known(name)&.fetch("name") } }
    expect(catalogue.keys - shown).to eq([])
  end

  it "has the panels operators were promised" do
    rows = dashboard["panels"].select { |panel| panel["type"] == "row" }.map { |row| row["title"] }
    expect(rows).to include("Task throughput", "Step execution", "System health", "Error rates")
    expect(panels.map { |panel| panel["title"] }).to include(
      "Tasks created per minute", "Tasks completed per minute", "Active tasks", "Steps enqueued and claimed per minute",
      "Steps completed per minute", "Step execution time", "Step retry rate", "Worker state", "Database connections",
      "Circuit breaker", "API response time", "Task failures by namespace", "Step failures by handler",
      "Database errors", "Message queue errors"
    )
  end

  {
    "API response time (p99)" => [100, 200],
    "Store transaction (mean)" => [3, 5],
    "Event propagation (p95)" => [10, 20],
    "Task completion, end to end (p99)" => [500, 1000], "Claim success rate" => [0.9, 0.95],
    "Database connections in use" => [0.8, 0.9]
  }.each do |title, thresholds|
    it "alerts as promised: #{title}" do
      panel = panels.find { |candidate| candidate["title"] == title }
      steps = panel.dig("fieldConfig", "defaults", "thresholds", "steps")
      expect(steps.filter_map { |step| step["value"] }).to eq(thresholds)
    end
  end

  it "gives every panel a place of its own" do
    expect(dashboard["panels"].map { |panel| panel["id"] }.uniq.size).to eq(dashboard["panels"].size)
    corners = dashboard["panels"].map { |panel| panel["gridPos"].values_at("x", "y") }
    expect(corners.uniq).to eq(corners)
  end
end
