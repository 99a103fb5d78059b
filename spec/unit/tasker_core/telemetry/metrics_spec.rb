# frozen_string_literal: true

RSpec.describe TaskerCore::Telemetry::Instrument do
  let(:said) { [] }

  before do
    %i[metric_counter metric_histogram metric_gauge].each do |name|
      allow(TaskerCore::Native).to receive(name) { |*call| said << [name, *call] }
    end
  end

  it "counts" do
    counter = TaskerCore.counter("spec.orders", description: "Orders", unit: "{order}")
    counter.add(2, country: "de", paid: true).add
    expect(said).to eq([[:metric_counter, "spec.orders", 2.0, '{"country":"de","paid":true}', "Orders", "{order}"],
                        [:metric_counter, "spec.orders", 1.0, "{}", "Orders", "{order}"]])
  end

  it "measures" do
    TaskerCore.histogram("spec.value").record(12.5, token: "t")
    TaskerCore.gauge("spec.carts").set(7)
    expect(said).to eq([[:metric_histogram, "spec.value", 12.5, '{"token":"[FILTERED]"}', nil, nil],
                        [:metric_gauge, "spec.carts", 7.0, "{}", nil, nil]])
  end

  it "is one for each name, and of one kind" do
    expect(TaskerCore.counter("spec.one")).to equal(TaskerCore.counter(:"spec.one"))
    expect { TaskerCore.gauge("spec.one") }.to raise_error(TaskerCore::InvalidInputError, /Counter already/)
  end

  it "refuses what cannot be measured" do
    counter = TaskerCore.counter("spec.refuses")
    [-1, Float::NAN, "1", nil].each do |value|
      expect { counter.add(value) }.to raise_error(TaskerCore::InvalidInputError)
    end
    ["", "1st", "with space", "a" * 300].each do |name|
      expect { TaskerCore.counter(name) }.to raise_error(TaskerCore::InvalidInputError)
    end
    ["two words", "µs", "x" * 64, "\xFF"].each do |unit|
      expect { TaskerCore.gauge("spec.unit", unit: unit) }.to raise_error(TaskerCore::InvalidInputError, /a unit/)
    end
    expect(said).to eq([])
  end

  it "takes labels that are no text" do
    expect { TaskerCore.counter("labels.odd").add(1, "\xFF" => 1, "b" => "\xFE", "\xFE".b => nil) }.not_to raise_error
  end
end
