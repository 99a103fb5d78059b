# frozen_string_literal: true

# Prints the spans of one trace as a tree: names, what tells them apart, ids, durations.
class TraceTree
  # Spans of one task say the same of it; these attributes say what is a span's own.
  TELLING = %w[step_name attempt from_state to_state success].freeze

  # @param spans [Array<Hash>] name, trace_id, span_id, parent_span_id, start_us, end_us, attributes, error
  def initialize(spans)
    @spans = spans.sort_by { |span| [span[:start_us], -span[:end_us]] }
    @known = @spans.to_h { |span| [span[:span_id], true] }
    @children = @spans.group_by { |span| span[:parent_span_id] }
  end

  # @return [Array<Hash>] spans whose parent is not here; a whole trace has one
  def roots
    @spans.reject { |span| @known[span[:parent_span_id]] }
  end

  # @return [Array<String>]
  def lines
    roots.flat_map { |root| branch(root, "", "") }
  end

  private

  def branch(span, lead, next_lead)
    children = @children.fetch(span[:span_id], [])
    below = children.each_with_index.flat_map do |child, index|
      last = index == children.size - 1
      branch(child, "#{next_lead}#{last ? '└─ ' : '├─ '}", "#{next_lead}#{last ? '   ' : '│  '}")
    end
    [line(span, lead), *below]
  end

  def line(span, lead)
    milliseconds = (span[:end_us] - span[:start_us]) / 1000.0
    title = "#{lead}#{span[:name]} #{telling(span)}".rstrip
    error = "  error: #{span[:error]}" if span[:error]
    format("  %-82s %9.3f ms  %s%s", title, milliseconds, span[:span_id], error)
  end

  def telling(span)
    attributes = span[:attributes].transform_keys(&:to_s)
    return "#{attributes['from_state']} > #{attributes['to_state']}" if attributes.key?("to_state")

    TELLING.filter_map { |key| "#{key}=#{attributes[key]}" if attributes.key?(key) }.join(" ")
  end
end
