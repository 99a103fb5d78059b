# frozen_string_literal: true

# What docs/ and the README say of files, settings, constants and code. Queries: spec/integration/queries_spec.rb.
RSpec.describe "the documents" do
  root = Document::ROOT
  pages = ["README.md", *Dir.glob("docs/**/*.md", base: root).sort]

  pages.each do |path|
    describe path do
      let(:page) { Document.new(path) }

      it "links to files and headings that are there" do
        page.text.gsub(/^```.*?^```$/m, "").scan(/\]\(([^)#\s]*)(?:#([\w-]+))?\)/) do |target, anchor|
          next if target.start_with?("http")

          file = target.empty? ? path : File.join(File.dirname(path), target)
          expect(File.exist?(File.join(root, file))).to be(true), "#{path} links to #{target}"
          next unless anchor

          anchors = Document.new(file).anchors
          expect(anchors).to include(anchor)
        end
      end

      it "names files that are there" do
        named = Document.code(page.text.gsub(/^```.*?^```$/m, ""))
        ours = named.grep(%r{\A(?:bin|docs|examples|ext|lib|spec|bench)/[\w./-]+\z})
        missing = ours.reject { |file| File.exist?(File.join(root, file)) || %w[bin/worker bin/dev].include?(file) }
        expect(missing).to eq([])
      end

      it "shows Ruby that compiles" do
        page.blocks("ruby").each do |block|
          expect { RubyVM::InstructionSequence.compile(block) }.not_to raise_error
        end
      end
    end
  end

  it "have a length that can be read" do
    lengths = pages.to_h { |path| [path, Document.new(path).text.lines.size] }
    expect(lengths.select { |path, lines| lines > (path == "README.md" ? 180 : 350) }).to eq({})
  end

  it "give every setting and its default" do
    page = Document.new("docs/guide/settings.md")
    rows = page.table("Setting", "Default", "Meaning").to_h { |row| [row[0].delete("`"), row[1]] }
    expect(rows.keys).to match_array(TaskerCore::Configuration::SETTINGS.map(&:to_s))
    fresh = TaskerCore::Configuration.new({})
    numbers = rows.select { |_, default| default.match?(/\A[\d.]+\z/) }
    expect(numbers.keys).to include("concurrency", "lease_seconds", "shutdown_timeout", "poll_interval")
    numbers.each { |name, default| expect([name, fresh.public_send(name)]).to eq([name, default.to_f]) }
  end

  it "give the constants of docs/internals/numbers.md as the code has them" do
    rows = Document.new("docs/internals/numbers.md").table("What", "Value", "Constant", "In")
    rows.each do |_, value, constant, file|
      written = RustSource.new(Document.code(file).first).constant(Document.code(constant).first).to_s
      unit = { "from_secs" => " s", "from_millis" => " ms", "from_micros" => " µs" }[written[/from_\w+/]].to_s
      expect([constant, value]).to eq([constant, "#{written.delete('_')[/\d+/]}#{unit}"])
    end
  end

  it "are all found from docs/README.md, and that from the README" do
    index = Document.new("docs/README.md").text
    below = pages.grep(%r{\Adocs/\w+/})
    expect(below.reject { |path| index.include?("](#{path.delete_prefix('docs/')})") }).to eq([])
    expect(Document.new("README.md").text).to include("](docs/README.md)")
  end

  it "have names of their own, since YARD puts them all into one folder" do
    names = pages.grep(%r{\Adocs/\w+/}).map { |path| File.basename(path) }
    expect(names.uniq).to eq(names)
  end
end
