# frozen_string_literal: true

# docs/internals/state_machines.md against the tables in ext/tasker_engine/src/state/.
RSpec.describe "docs/internals/state_machines.md" do
  def self.page
    Document.new("docs/internals/state_machines.md")
  end

  # `Variant = "name" => [Next, …],` as `state_machine!` reads it.
  def in_code(file)
    rows = RustSource.new("ext/tasker_engine/src/state/#{file}.rs").code
                     .scan(/(\w+) = "(\w+)" => \[([\w\s,]*)\]/m)
    names = rows.to_h { |variant, name, _| [variant, name] }
    rows.to_h { |_, name, successors| [name, successors.scan(/\w+/).map { |variant| names.fetch(variant) }] }
  end

  { "Task" => "task", "Step" => "step" }.each do |heading, file|
    describe "the #{file}'s machine" do
      let(:section) { self.class.page.section("## #{heading}") }
      let(:table) { section.table("State", "May become") }
      let(:documented) { table.to_h { |state, successors, _| [Document.code(state).first, Document.code(successors)] } }
      let(:arrows) { section.blocks("mermaid").join.scan(/^\s*(\S+) --> (\S+)$/) }

      it "has the code's states, in the code's order" do
        expect(in_code(file)).not_to be_empty
        expect(documented.keys).to eq(in_code(file).keys)
      end

      it "has the code's successors" do
        documented.each do |state, successors|
          expect([state, successors.sort]).to eq([state, in_code(file)[state].sort])
        end
      end

      it "says what each state means" do
        table.each { |state, _, meaning| expect(meaning).to match(/\A[A-Z].+\.\z/), "#{state} has no sentence" }
      end

      it "draws every move and no other" do
        moves = in_code(file).flat_map { |from, successors| successors.map { |to| [from, to] } }
        drawn = arrows.reject { |arrow| arrow.include?("[*]") }
        expect(drawn).to match_array(moves)
      end

      it "draws where it begins and where nothing follows" do
        states = in_code(file)
        ends = states.select { |_, successors| successors.empty? }.keys
        expect(arrows.select { |arrow| arrow.include?("[*]") })
          .to match_array([["[*]", states.keys.first], *ends.map { |state| [state, "[*]"] }])
      end
    end
  end

  it "says nothing of a state that there is not" do
    known = in_code("task").keys | in_code("step").keys
    finals = TaskerCore::Task::FINAL_STATES
    expect(finals - known).to eq([])
    moves = self.class.page.text.scan(/`(\w+)` to `(\w+)`/).flatten.uniq
    expect(moves - known).to eq([])
  end
end
