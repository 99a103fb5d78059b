# frozen_string_literal: true

require "open3"
require "yaml"

# Owns: that the alert rules are such as Prometheus takes, fire as grafana/alerts_test.yml says, ask only for metrics
# there are, cover each threshold operators were promised, and are all in the documents and in bench/verify_alerts.
# Refuses: whether a worker can fire them, which takes minutes: bench/verify_alerts.
RSpec.describe "grafana/alerts.yml" do
  folder = File.expand_path("../../grafana", __dir__)
  rules = YAML.safe_load_file(File.join(folder, "alerts.yml")).fetch("groups").flat_map { |group| group.fetch("rules") }
  named = ->(rule) { "#{rule.fetch('alert')} #{rule.dig('labels', 'severity')}" }

  let(:catalogue) { JSON.parse(TaskerCore::Native.metrics_catalogue).to_h { |metric| [metric["name"], metric] } }

  def promtool(*arguments)
    output, status = Open3.capture2e("promtool", *arguments)
    expect(status).to be_success, output
    output
  rescue Errno::ENOENT
    missing = "promtool is missing (Debian: apt-get install prometheus)"
    ENV["CI"].to_s.empty? ? skip(missing) : raise(missing)
  end

  def metric_of(name)
    base = name.sub(/_(bucket|sum|count)\z/, "")
    (catalogue[base] if base != name && catalogue.dig(base, "kind") == "histogram") || catalogue[name]
  end

  # [[name, labels that are asked for], ...]
  def asked(query)
    query.scan(/\b((?:tasker|router|process)_\w+)(?:\{([^}]*)\})?/).map do |name, matchers|
      [name, matchers.to_s.scan(/(\w+)\s*(?:=~|!~|!=|=)/).flatten]
    end
  end

  it "is taken by Prometheus, every rule of it" do
    expect(promtool("check", "rules", File.join(folder, "alerts.yml"))).to include("#{rules.size} rules found")
  end

  it "fires above its thresholds and not below them" do
    promtool("test", "rules", File.join(folder, "alerts_test.yml"))
  end

  # A rule without a test would pass the one above.
  it "has a test for each alert, in which each of its severities fires" do
    tests = YAML.safe_load_file(File.join(folder, "alerts_test.yml")).fetch("tests")
    fires = tests.flat_map do |test|
      labels = test.fetch("promql_expr_test").flat_map { |asked| asked.fetch("exp_samples") }.map(&:to_s)
      labels.flat_map { |text| text.scan(/severity=\W*(\w+)/) }.map { |(severity)| "#{test['name']} #{severity}" }
    end
    expect(rules.map(&named) - fires).to eq([])
  end

  rules.each do |rule|
    describe named.call(rule) do
      it "asks for metrics and labels there are" do
        query = rule.fetch("expr")
        grouped = query.scan(/\bby \(([^)]*)\)/).flat_map { |(labels)| labels.split(/,\s*/) } - %w[le job instance]
        asked(query).each do |name, labels|
          metric = metric_of(name)
          expect(metric).not_to be_nil, "#{name} is not in the catalogue"
          expect(metric["labels"]).to include(*labels, *grouped)
          expect(metric["kind"] == "histogram").to eq(name != metric["name"]), name
          expect(query).to match(/rate\(#{name}[\[{]/) unless metric["kind"] == "gauge"
        end
        expect(asked(query)).not_to be_empty unless query.start_with?("up{")
      end

      it "says what happens and what to do, and waits before it does" do
        expect(%w[warning critical]).to include(rule.dig("labels", "severity"))
        expect(rule["for"]).to match(/\A[1-9]\d*m\z/)
        expect(rule.fetch("annotations").keys).to eq(%w[summary description])
        expect(rule.dig("annotations", "summary").size).to be_between(10, 80)
        expect(rule.dig("annotations", "description").split(". ").size).to be >= 2
      end

      it "fills its annotations in with labels that the alert has" do
        used = rule["annotations"].values.join.scan(/\$labels\.(\w+)/).flatten.uniq
        kept = rule["expr"].scan(/\bby \(([^)]*)\)/).flat_map { |(labels)| labels.split(/,\s*/) }
        kept += %w[job instance] if kept.empty? && !rule["expr"].start_with?("absent")
        expect(used - kept).to eq([])
      end
    end
  end

  # The indicators, with their targets and alert thresholds, that operators were promised; see grafana_spec.rb.
  {
    "API response time, p99, ms" => ["TaskerApiSlow", ">", 100, 200, "0.99", "tasker_web_request_duration"],
    "SQL function time, mean, ms" => ["TaskerStoreSlow", ">", 3, 5, nil, "tasker_store_transaction_duration"],
    "event propagation, p95, ms" => ["TaskerEventsSlow", ">", 10, 20, "0.95", "tasker_ffi_handoff"],
    "task completion, p99, ms" => ["TaskerTasksSlow", ">", 500, 1000, "0.99", "tasker_task_duration"],
    "claim success rate" => ["TaskerClaimsRefused", "<", 0.95, 0.9, nil, "tasker_stale_completions_total"],
    "database connections" => ["TaskerConnectionBusy", ">", 0.8, 0.9, nil, "tasker_store_transaction_duration"]
  }.each do |indicator, (alert, compares, target, threshold, quantile, metric)|
    { "warning" => target, "critical" => threshold }.each do |severity, value|
      it "has a #{severity} alert for the #{indicator}" do
        rule = rules.find { |candidate| named.call(candidate) == "#{alert} #{severity}" }
        expect(rule).not_to be_nil, "there is no #{alert} with severity #{severity}"
        expect(rule["expr"].scan(/([<>]) ([\d.]+)$/)).to include([compares, value.to_s])
        expect(rule["expr"]).to include(metric)
        expect(rule["expr"][/quantile\(([\d.]+)/, 1]).to eq(quantile)
      end
    end
  end

  it "is in the table of docs/operations/alerts.md, rule by rule" do
    rows = Document.new("docs/operations/alerts.md").table("Alert", "Severity", "When", "Means", "Do")
    told = rows.flat_map do |alert, severities, when_it_fires|
      waits = when_it_fires.scan(/\d+(?= min)/)
      severities.split(", ").zip(waits).map { |severity, wait| ["#{alert.delete('`')} #{severity}", "#{wait}m"] }
    end
    expect(told).to match_array(rules.map { |rule| [named.call(rule), rule["for"]] })
  end

  it "is fired by bench/verify_alerts, each of its alerts" do
    require_relative "../../bench/verify/services"
    require_relative "../../bench/verify/alerts"
    causes = Verify::Alerts::CAUSES
    expect(causes.values.flatten).to match_array(rules.map(&named))
    expect(causes.keys - Verify::Causes.public_instance_methods(false)).to eq([])
  end
end
