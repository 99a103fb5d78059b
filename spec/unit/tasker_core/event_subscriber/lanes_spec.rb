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

  it "keeps the events behind one that will be tried again until it hears which of them are taken back" do
    lanes.add([event(1, "a"), event(2, "a"), event(3, "a")])
    lanes.stop(taken.first)
    lanes.add([event(4, "a"), event(5, "b")])
    expect(taken.map(&:delivery)).to eq([5])
    # 2 and 3 were given out before 1 failed, 6 is on its way; 4 was given out after that.
    lanes.settled([{ delivery: 1 }], [2, 3, 6])
    expect(taken.map(&:delivery)).to eq([4])
    lanes.add([event(6, "c"), event(7, "c")])
    expect(taken.map(&:delivery)).to eq([7])
    lanes.add([event(6, "d")])
    expect(taken.map(&:delivery)).to eq([6])
    expect(lanes.room).to eq(described_class::WINDOW - 4)
  end

  it "goes on with a key of which nothing was taken back" do
    lanes.add([event(1, "a"), event(2, "a")])
    lanes.stop(taken.first)
    lanes.settled([{ delivery: 1 }], [])
    expect(taken.map(&:delivery)).to eq([2])
    lanes.stop(event(9))
    lanes.settled([{ delivery: 9 }], [])
  end

  it "holds events until they are settled" do
    window = described_class::WINDOW
    expect([lanes.room, lanes.hungry?, lanes.idle?]).to eq([window, true, true])
    lanes.add((1..window).map { |delivery| event(delivery) })
    taken
    expect([lanes.room, lanes.hungry?, lanes.idle?]).to eq([0, false, true])
    lanes.settled((1..window / 2).map { |delivery| { delivery: delivery } }, [])
    expect([lanes.room, lanes.hungry?]).to eq([window / 2, true])
    lanes.clear
    expect(lanes.room).to eq(window)
  end
end
