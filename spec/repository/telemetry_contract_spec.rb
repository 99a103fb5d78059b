# frozen_string_literal: true

# The telemetry contract (docs/internals/telemetry.md and the pages it names) against the sources, word by word.
# telemetry_spans_spec.rb holds it to what runs.
RSpec.describe "the telemetry contract" do
  let(:phases) { Document.new("docs/internals/telemetry.md") }
  let(:settings) { Document.new("docs/operations/telemetry_settings.md") }
  let(:logs) { Document.new("docs/internals/log_lines.md").section("## Logs") }
  let(:sources) { RustSource.all }
  let(:telemetry) { sources.select { |source| source.path.start_with?("ext/tasker_telemetry/") } }
  # Every file that makes a span. The type's own definition does not.
  let(:makers) do
    sources.select { |source| source.code.match?(/(?<!struct |impl |for )\bSpanRecord \{|\bSpanEvent \{ name:/) }
  end
  let(:emitted_attributes) do
    makers.flat_map do |source|
      source.code.scan(/\("([a-z][\w.]*)",\s*Value::/).flatten
    end.uniq
  end
  let(:emitted_events) { makers.flat_map { |source| source.code.scan(/\bevent\("([^"]+)"/).flatten }.uniq }
  let(:emitted_spans) do
    dotted = makers.flat_map { |source| source.code.scan(/"([a-z_]+(?:\.[a-z_]+)+)"/).flatten }.uniq
    # Those of domain events have the documents' names, which have no dot.
    plain = makers.flat_map { |source| source.code.scan(/\badd\("([a-z_]+)",/).flatten }.uniq
    dotted + plain - emitted_attributes - emitted_events
  end
  let(:span_sections) do
    spans = Document.new("docs/internals/spans.md").section("## Spans")
    spans.headings("###").to_h { |heading| [Document.code(heading).first, spans.section(heading)] }
  end

  def documented_attributes
    span_sections.values.flat_map { |section| section.table("Attribute", "Type").map { |row| row[0].delete("`") } }
  end

  def documented_event_rows
    span_sections.values.select do |section|
      section.table?("Event")
    end.flat_map { |section| section.table("Event", "At") }
  end

  it "knows where spans are made" do
    expect(makers.map(&:path)).to include("ext/tasker_engine/src/engine/trace.rs")
  end

  it "lists every span, and none that nothing makes" do
    expect(span_sections.keys).to match_array(emitted_spans)
  end

  it "lists every attribute of a span or a span event, and none that nothing sets" do
    of_events = documented_event_rows.flat_map { |_, _, attributes| Document.code(attributes) }
    expect((documented_attributes + of_events).uniq).to match_array(emitted_attributes)
  end

  it "lists every span event, and none that nothing adds" do
    expect(documented_event_rows.map { |name, *| name.delete("`") }.uniq).to match_array(emitted_events)
  end

  it "opens no span of tracing's without a section" do
    # `#[instrument]` and `info_span!` would make spans that the table does not know.
    opened = sources.select { |source| source.code.match?(/\b\w*span!\(|#\[(?:tracing::)?instrument/) }
    expect(opened.map(&:path)).to eq([])
  end

  describe "the environment" do
    let(:rows) { settings.section("## Environment").table("Variable", "In Ruby", "Default") }

    it "lists every variable that is read, and none that is not" do
      # `env!` is the compiler's.
      read = telemetry.flat_map do |source|
        source.code.scan(/(?<!env!\()"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/).flatten
      end
      read |= of_signals.map { |what| "OTEL_EXPORTER_OTLP_#{what}" }
      expect(rows.map { |row| row[0].delete("`") }).to match_array(read.uniq)
    end

    # What a signal may have of its own: the code puts these names together.
    def of_signals
      telemetry.flat_map { |source| source.code.scan(/\bnames\("([A-Z]+)"\)/).flatten }
    end

    it "lists every variable of a single signal, and what it replaces" do
      expect(of_signals).to include("ENDPOINT", "COMPRESSION")
      shown = settings.table("For one signal", "Instead of").map { |row| row.map { |cell| cell.delete("`") } }
      expect(shown).to match_array(of_signals.map do |what|
        ["OTEL_EXPORTER_OTLP_{TRACES,LOGS,METRICS}_#{what}", "OTEL_EXPORTER_OTLP_#{what}"]
      end)
    end

    it "gives the numbers' defaults" do
      numbers = telemetry.flat_map { |source| source.code.scan(/(?:size|millis)\("(\w+)", ([\d_]+)\)/) }
      expect(numbers).not_to be_empty
      defaults = rows.to_h { |row| [row[0].delete("`"), row[2].delete("`")] }
      numbers.each { |name, default| expect([name, defaults[name]]).to eq([name, default.delete("_")]) }
    end

    it "lists every setting of Ruby's, and none that is refused" do
      overrides = telemetry.find { |source| source.path.end_with?("tasker_telemetry/src/config.rs") }
                           .code[/pub struct Overrides \{(.*?)^\}/m, 1].scan(/pub (\w+):/).flatten
      expect(rows.flat_map { |row| Document.code(row[1]) }).to match_array(overrides)
    end

    it "lists the resource's attributes" do
      otlp = telemetry.select { |source| source.path.end_with?("/otlp.rs") }
      given = otlp.flat_map { |source| source.code.scan(/KeyValue::new\("([^"]+)"/).flatten }
      expect(settings.table("Resource attribute").map { |row| row[0].delete("`") }).to match_array(given)
    end
  end

  describe "the log lines" do
    # Rust's own; line.rs passes Ruby's on.
    let(:calls) do
      files = sources.reject { |source| source.path.end_with?("/record/line.rs") }
      files.flat_map(&:log_calls).map do |level, arguments|
        *fields, message = arguments[..arguments.rindex { |argument| argument.start_with?('"') }]
        fields = fields.map { |field| field.sub(/\s=.*/m, "").delete("%?") }.grep_v(/\Atarget:/)
        [level, message.delete_prefix('"').delete_suffix('"').gsub(/\\\n\s*/, ""), fields]
      end
    end

    it "lists every line of the engine, with its level and its fields, and no other" do
      rows = logs.table("Level", "Message", "Fields").map do |level, message, fields|
        [level, Document.code(message).first, Document.code(fields)]
      end
      expect(rows).to match_array(calls.uniq)
    end

    it "lists every line from Ruby, with its level and its fields, and no other" do
      section = Document.new(logs.path, logs.text[/^Lines from Ruby.*/m])
      rows = section.table("Level", "Message", "Fields").map do |level, message, fields|
        [level, Document.code(message).first.gsub(/\{[^}]*\}/, "{}"), Document.code(fields)]
      end
      expect(rows).to match_array(RubySource.all.flat_map(&:log_calls))
    end
  end

  describe "the metrics" do
    it "are these, with these names, kinds, units, labels and meanings" do
      metrics = Document.new("docs/operations/metrics.md").section("## Metrics")
      rows = metrics.table("On `/metrics`", "In OTLP", "Kind", "Unit", "Labels", "Meaning")
      shown = rows.map do |row|
        name, instrument, kind, unit, labels, meaning = row
        { "name" => Document.code(name).first, "instrument" => Document.code(instrument).first, "kind" => kind,
          "unit" => Document.code(unit).first, "labels" => Document.code(labels), "meaning" => meaning }
      end
      expect(shown).to eq(JSON.parse(TaskerCore::Native.metrics_catalogue))
    end
  end

  describe "the web server" do
    let(:section) { Document.new("docs/operations/monitoring.md").section("## Web server") }

    it "has these routes" do
      web = sources.find { |source| source.path.end_with?("/src/web.rs") }
      routes = web.code[/ROUTES.*?=\s*\[(.*?)\]/m, 1].scan(/"([^"]+)"/).flatten
      expect(section.table("Route", "Says").map { |row| Document.code(row[0]).first }).to match_array(routes)
    end

    it "reads these variables" do
      config = sources.find { |source| source.path.end_with?("/config/web.rs") }
      read = config.code.scan(/text\("(TASKER_\w+)"\)/).flatten.uniq
      rows = section.table("Variable", "In Ruby", "Default")
      expect(rows.map { |row| Document.code(row[0]).first }).to match_array(read)
    end
  end

  describe "the console lines" do
    let(:program) do
      <<~RUBY
        TaskerCore.configure { |config| config.database = ":memory:"; config.template_paths = [] }
        TaskerCore::Worker.start(concurrency: 1)
        TaskerCore.shutdown
      RUBY
    end

    # What the extension said, without times and without complaints about a collector that is not there.
    def lines(**env)
      names = settings.section("## Environment").table("Variable", "In Ruby").map { |row| row[0].delete("`") }
      # The web server's line has a port that differs.
      clean = names.to_h { |name| [name, nil] }.merge("LOG_LEVEL" => "info", "TASKER_WEB_ENABLED" => "false")
      _, errors, status = ruby(program, env: clean.merge(env.transform_keys(&:to_s)))
      expect(status).to be_success
      # Its engine's lines are about the worker, not about telemetry.
      told = errors.lines(chomp: true).grep_v(/telemetry::export|tasker_engine::(engine|bootstrap)/)
      told.map { |line| line.sub(/\A\S+\s+/, "") }
    end

    def shown(*infos)
      infos.flat_map { |info| phases.blocks("text #{info}").first.lines(chomp: true) }
    end

    it "are these with telemetry off" do
      expect(lines).to eq(shown("phase-1-off"))
    end

    it "are these with telemetry on, collector or not" do
      expect(lines(TELEMETRY_ENABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9"))
        .to eq(shown("phase-1-on", "phase-2-on"))
    end

    it "are these with an endpoint that cannot be used" do
      expect(lines(TELEMETRY_ENABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4317"))
        .to eq(shown("phase-1-on", "phase-2-refused"))
    end
  end
end
