# frozen_string_literal: true

# What one section of docs/internals/spans.md says of a span.
class SpanSection
  UUID = /\A\h{8}-\h{4}-7\h{3}-[89ab]\h{3}-\h{12}\z/
  TYPES = {
    "uuid" => ->(value) { value.is_a?(String) && value.match?(UUID) }, "string" => ->(value) { value.is_a?(String) },
    "int" => ->(value) { value.is_a?(Integer) }, "float" => ->(value) { value.is_a?(Float) },
    "bool" => ->(value) { [true, false].include?(value) }
  }.freeze

  # @return [Hash{String => SpanSection}] by span name
  def self.all
    spans = Document.new("docs/internals/spans.md").section("## Spans")
    spans.headings("###").to_h { |heading| [Document.code(heading).first, new(spans.section(heading))] }
  end

  # @return [Hash{String => Array(String, String)}] type and presence, by key
  attr_reader :attributes
  # @return [Hash{String => Hash}] at: "start" or "end", attributes:, optional:, by name
  attr_reader :events

  def initialize(document)
    @document = document
    @attributes = document.table("Attribute", "Type", "Present").to_h { |row| [row[0].delete("`"), row[1..]] }
    @events = document.table?("Event") ? document.table("Event", "At", "Attributes").to_h { |row| event(row) } : {}
  end

  # @return [String, nil] what stands behind `- label:`, over as many lines as it takes
  def line(label)
    @document.text[/^- #{label}: (.+?)(?=\n- |\n\n|\z)/m, 1]&.gsub(/\s+/, " ")
  end

  # Whether the span may have this status message; nil is no error.
  def status?(message)
    return true unless message

    line("Status").to_s.scan(/"([^"]+)"/).flatten.any? do |text|
      text == "class: message" ? message.match?(/\A[A-Z]\w*(::\w+)*: ./) : text == message
    end
  end

  # What is wrong with these values, in words.
  # @param values [Hash] as the extension gives them
  # @param documented [Hash] as {#attributes}
  # @return [Array<String>]
  def self.faults(values, documented)
    values = values.transform_keys(&:to_s)
    undocumented = (values.keys - documented.keys).map { |key| "#{key} is not documented" }
    undocumented + documented.filter_map do |key, (type, present)|
      if !values.key?(key)
        "#{key} is missing" if present.start_with?("always")
      elsif !TYPES.fetch(type).call(values[key])
        "#{key} is no #{type}: #{values[key].inspect}"
      end
    end
  end

  private

  def event(row)
    keys = row[2].scan(/`([\w.]+)` \((\w+)\), ([^;]+)/).to_h { |key, type, present| [key, [type, present]] }
    [row[0].delete("`"), { at: row[1][/\w+/], attributes: keys, optional: row[1].include?("when") }]
  end
end
