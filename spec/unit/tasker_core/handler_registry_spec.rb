# frozen_string_literal: true

RSpec.describe TaskerCore::HandlerRegistry do
  subject(:registry) { described_class.new("charge" => ChargeCard) }

  before do
    stub_const("ChargeCard", Class.new(TaskerCore::StepHandler) { def call(_step) = :charged })
    stub_const("Orders::Ship", Class.new { def call(_step) = :shipped })
  end

  it "finds what was registered, else the class of that name" do
    expect(registry.resolve("charge")).to be_a(ChargeCard)
    expect(registry.resolve("ChargeCard")).to be_a(ChargeCard)
    expect(registry.resolve("Orders::Ship")).to be_a(Orders::Ship)
  end

  it "makes a new instance each time" do
    expect(registry.resolve("charge")).not_to equal(registry.resolve("charge"))
  end

  it "takes objects with call, and names of classes" do
    handler = ->(_step) { 1 }
    registry.register(:lambda, handler)
    registry.register("shipping", "Orders::Ship")
    expect(registry.resolve("lambda")).to equal(handler)
    expect(registry.resolve("shipping")).to be_a(Orders::Ship)
  end

  it "says everything it tried" do
    expect { registry.resolve("Orders::Refund") }.to raise_error(TaskerCore::HandlerNotFoundError) { |error|
      expect(error.message).to include('no handler "Orders::Refund"', "registered: charge", "Object.const_get",
                                       "uninitialized constant Orders::Refund", "config.handlers")
    }
    expect { registry.resolve("refund.card") }
      .to raise_error(TaskerCore::HandlerNotFoundError, /not the name of a class/)
  end

  it "tells of the error in a file that an autoloader loaded for the name" do
    in_folder do |folder|
      File.write("#{folder}/broken_handler.rb", "class BrokenHandler <")
      Object.autoload(:BrokenHandler, "#{folder}/broken_handler.rb")
      expect { registry.resolve("BrokenHandler") }
        .to raise_error(TaskerCore::HandlerNotFoundError, /SyntaxError.*broken_handler\.rb/m)
    ensure
      Object.send(:remove_const, :BrokenHandler)
    end
  end

  it "says so when there is neither call nor a handle that takes three arguments" do
    stub_const("Silent", Class.new)
    stub_const("Inherited", Class.new(TaskerCore::StepHandler))
    stub_const("Consumer", Class.new { def handle(_event) = nil })
    stub_const("Demanding", Class.new { def handle(_task, _sequence, _step, at:) = at })
    stub_const("Greedy", Class.new { def handle(_task, _sequence, _step, _more) = nil })
    %w[Silent Inherited Consumer Demanding Greedy].each do |name|
      expect { registry.resolve(name) }
        .to raise_error(TaskerCore::HandlerNotFoundError,
                        /#{name} does not define call\(step\) or handle\(task, sequence, step\)/)
    end
  end

  describe "a handler with handle(task, sequence, step)" do
    let(:step) { step_context(dependencies: { cart: { total: 5 } }) }

    it "gets a task, a sequence and the step, in a new instance each time" do
      stub_const("Old", Class.new { def handle(task, sequence, step) = [self, task, sequence, step] })
      seen = Array.new(2) { registry.resolve("Old").call(step) }
      expect(seen.map(&:first).uniq.size).to eq(2)
      _, task, sequence, given = seen.first
      expect([task.context["order_id"], sequence["cart"][:total]]).to eq([1, 5])
      expect(given).to equal(step)
    end

    it "may be an object, and may take its arguments as it likes" do
      all = Class.new { def handle(*all) = all }
      optional = Class.new { def handle(task, sequence, step = nil) = [task, sequence, step] }
      [all, optional].each do |handler|
        registry.register("old", handler.new)
        expect(registry.resolve("old").call(step).last).to equal(step)
      end
    end

    it "may be a StepHandler; call is called when there are both" do
      stub_const("Old", Class.new(TaskerCore::StepHandler) { def handle(_task, _sequence, _step) = :handled })
      stub_const("Both", Class.new(Old) { def call(_step) = :called })
      expect([registry.resolve("Old").call(step), registry.resolve("Both").call(step)]).to eq(%i[handled called])
    end
  end

  it "finds a reloaded class after a reset" do
    registry.resolve("ChargeCard")
    reloaded = stub_const("ChargeCard", Class.new { def call(_step) = :again })
    expect(registry.resolve("ChargeCard")).not_to be_a(reloaded)
    registry.reset
    expect(registry.resolve("ChargeCard")).to be_a(reloaded)
  end

  it "can be asked by many threads" do
    found = Array.new(8) { Thread.new { Array.new(100) { registry.resolve("Orders::Ship").class } } }.flat_map(&:value)
    expect(found.uniq).to eq([Orders::Ship])
  end
end
