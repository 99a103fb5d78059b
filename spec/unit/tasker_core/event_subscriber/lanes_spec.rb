# frozen_string_literal: true

RSpec.describe TaskerCore::EventSubscriber::Lanes do
  subject(:lanes) { described_class.new }

  def event(delivery, key = nil)
    TaskerCore::EventSubscriber::Event.new(delivery: delivery, attempt: 1, key: key, event: {})
  end

  def taken
    events = []
    while (event = lanes.take) do events << event end
    events
  end

  it "gives out one event of a key at a time, and the others freely" do
    lanes.add([event(1, "a"), event(2, "a"), event(3), event(4, "b")])
    first = taken
    expect(first.map(&:delivery)).to eq([1, 3, 4])
    lanes.add([event(5, "a")])
    expect(taken).to eq([])
    lanes.passed(first[0])
    following = taken
    expect(following.map(&:delivery)).to eq([2])
    lanes.passed(following[0])
    expect(taken.map(&:delivery)).to eq([5])
  end

  it "gives up the events behind one that will be tried again" do
    lanes.add([event(1, "a"), event(2, "a"), event(3, "a")])
    expect(lanes.failed(taken.first).map(&:delivery)).to eq([2, 3])
    lanes.add([event(4, "a")])
    expect(taken.map(&:delivery)).to eq([4])
    expect(lanes.failed(event(9))).to eq([])
  end

  it "holds events until they are settled" do
    window = described_class::WINDOW
    expect([lanes.room, lanes.hungry?, lanes.idle?]).to eq([window, true, true])
    lanes.add((1..window).map { |delivery| event(delivery) })
    taken
    expect([lanes.room, lanes.hungry?, lanes.idle?]).to eq([0, false, true])
    lanes.settled((1..window / 2).map { |delivery| { delivery: delivery } })
    expect([lanes.room, lanes.hungry?]).to eq([window / 2, true])
    lanes.clear
    expect(lanes.room).to eq(window)
  end
end
