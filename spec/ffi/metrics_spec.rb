# frozen_string_literal: true

RSpec.describe "metrics across the boundary" do
  let(:native) { TaskerCore::Native }

  it "records what Ruby hands over" do
    expect(native.metric_counter("spec.orders", 2, '{"shop":"a"}', nil, nil)).to be(true)
    expect(native.metric_counter("spec.orders", 0.5, '{"shop":"a"}', nil, nil)).to be(true)
    expect(native.metric_gauge("spec.stock", 7, "", "What is there.", "{item}")).to be(true)
    expect(native.metric_histogram("spec.basket", 19.9, "{}", nil, "By")).to be(true)
    expect(native.metrics_text).to include('spec_orders_total{shop="a"} 2.5', "spec_stock 7",
                                           "spec_basket_bytes_count 1", "# HELP spec_stock What is there.\n")
  end

  it "never raises for a metric that cannot be used" do
    refused = [["", 1, ""], ["spec.x", -1, ""], ["spec.x", Float::NAN, ""], ["spec.x", 1, "[]"], ["tasker.x", 1, ""],
               ["caf\xE9", 1, ""], ["spec.x", 1, "\xFF"], ["spec.x", 1, "", nil, "\xFF"]]
    refused.each do |name, value, attributes, description, unit|
      expect(native.metric_counter(name, value, attributes, description, unit)).to be(false)
    end
  end

  it "shows the table of the gem's own metrics" do
    catalogue = JSON.parse(native.metrics_catalogue)
    expect(catalogue.map { |metric| metric["name"] }).to include("tasker_tasks_created_total", "process_threads")
    expect(catalogue).to all(include("instrument", "kind", "unit", "labels", "meaning"))
  end
end
