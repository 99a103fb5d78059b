# frozen_string_literal: true

# Steps that publish events, and subscribers that say what they got.
module EventStory
  # Its result is what it publishes.
  class Place
    def call(step) = step.input[:payload]
  end

  TEMPLATE = <<~YAML
    name: place_order
    steps:
      - name: place
        handler: EventStory::Place
        publishes_events:
          - {name: order.placed, key: "{/input/shop}"}
  YAML

  # What subscribers got: by any of their threads.
  def got
    @got ||= Queue.new
  end

  # A subscriber whose handle calls the block.
  # @return [Class]
  def subscriber(*patterns, group: "billing", **options, &block)
    made = Class.new(TaskerCore::EventSubscriber) { define_method(:handle) { |event| block.call(event) } }
    stub_const("Subscriber#{group.capitalize}", made)
    made.subscribes_to(*patterns, group: group, from: :beginning, **options)
    made
  end

  # Publishes events with these payloads, one after the other, through steps of a worker that runs.
  def publish(*payloads, shop: "a")
    TaskerCore.engine.add_template("place_order", TEMPLATE, "yaml")
    payloads.each do |payload|
      task = TaskerCore.submit("place_order", { payload: payload, shop: shop }).wait(timeout: 30)
      raise "#{payload} was not published" unless task.state == "complete"
    end
  end

  # The next `count` things that subscribers got.
  def next_got(count)
    Array.new(count) { Timeout.timeout(30) { got.pop } }
  end

  def group(name = "billing")
    TaskerCore.event_groups[name]
  end
end
