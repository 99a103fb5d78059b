# frozen_string_literal: true

# docs/internals/reference_documents.md and its pages: every row has a verdict, the counts are those of the rows, and
# what a row claims can be looked up.
RSpec.describe "the reference documents, row by row" do
  overview = Document.new("docs/internals/reference_documents.md")
  header = ["Document", "Things", "As written", "Rows", "works", "better, because", "not, because",
            "not yet: domain events", "not yet: task API"]
  verdicts = header.drop(4)
  counted = overview.table(*header)
  pages = counted.filter_map do |row|
    file = row[0][/\]\(([^)]+)\)/, 1]
    [row, Document.new("docs/internals/#{file}")] if file
  end
  rows = lambda do |page|
    page.headings("##").flat_map { |heading| page.section(heading).table("#", "Line", "It names", "Here", "Where") }
  end
  verdict = ->(row) { row[3][/\A\*\*(.*?)\*\*/, 1] }

  let(:metrics) do
    JSON.parse(TaskerCore::Native.metrics_catalogue).flat_map { |metric| metric.values_at("name", "instrument") }
  end

  it "has five of them" do
    expect(pages.size).to eq(5)
  end

  pages.each do |counts, page|
    describe page.path do
      it "gives every row one of the verdicts, once" do
        ids = rows.call(page).map(&:first)
        expect(ids.uniq).to eq(ids)
        expect(rows.call(page).map(&verdict).uniq - verdicts).to eq([])
      end

      it "is counted right in the overview" do
        tally = rows.call(page).map(&verdict).tally
        numbers = verdicts.map { |name| tally.fetch(name, 0) }
        expect(counts.drop(3).map(&:to_i)).to eq([numbers.sum, *numbers])
      end

      it "says why, and where it is held" do
        rows.call(page).each do |row|
          next if verdict.call(row).start_with?("not yet")

          expect(row[3].sub(/\*\*.*?\*\*/, "").strip.size).to be > 10, row.join(" | ")
          expect(Document.code(row[4])).not_to be_empty, row.join(" | ")
        end
      end

      it "names files that are there" do
        named = rows.call(page).flat_map { |row| Document.code(row[4]).grep(%r{/}) }.uniq
        expect(named.reject { |file| File.exist?(File.join(Document::ROOT, file)) }).to eq([])
      end

      it "names metrics, spans and variables that are there" do
        here = rows.call(page).flat_map { |row| Document.code(row[3]) }.uniq
        spans = Document.new("docs/internals/spans.md").text
        settings = %w[telemetry_settings monitoring].map { |name| Document.new("docs/operations/#{name}.md").text }.join
        expect(here.grep(/\Atasker_\w+\z/) - metrics - %w[tasker_core]).to eq([])
        expect(here.grep(/\A(?:task|step|worker|handler|result)\.[a-z_]+\z/)
                   .reject { |name| spans.include?("`#{name}`") } - %w[task.error]).to eq([])
        expect(here.grep(/\A[A-Z][A-Z_]+\z/).reject { |name| settings.include?("`#{name}`") }).to eq([])
      end
    end
  end

  it "has the sums of its columns" do
    all = counted.last.drop(1).map(&:to_i)
    expect(counted[..-2].map { |row| row.drop(1).map(&:to_i) }.transpose.map(&:sum)).to eq(all)
    things, written, rows_there = all
    expect(overview.text).to include("(#{things - written - rows_there}: programs of others")
  end
end
