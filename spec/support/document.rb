# frozen_string_literal: true

# A page of docs/ or the README, read for the facts that a spec compares with the code.
class Document
  ROOT = File.expand_path("../..", __dir__)

  attr_reader :path, :text

  # @param path [String] from the root of the repository
  def initialize(path, text = File.read(File.join(ROOT, path), encoding: "UTF-8"))
    @path = path
    @text = text
  end

  # @return [Document] what stands under the heading, down to the next one of its level or above
  def section(heading)
    marks = heading[/\A#+/]
    start = lines.index(heading) or raise "#{path} has no heading #{heading.inspect}"
    rest = prose_lines[(start + 1)..]
    length = rest.index { |line| line&.match?(/\A\#{1,#{marks.size}} /) } || rest.size
    Document.new(path, lines[start + 1, length].join("\n"))
  end

  # @return [Array<String>] the headings that begin with these marks
  def headings(marks)
    prose_lines.compact.grep(/\A#{marks} /)
  end

  # @return [Array<String>] what a link to a heading says behind the `#`
  def anchors
    headings("#+").map { |line| line.sub(/\A#+ /, "").downcase.gsub(/[^[:word:] -]/, "").tr(" ", "-") }
  end

  # The rows of the table whose head begins with these columns.
  # @return [Array<Array<String>>]
  def table(*head)
    first = prose_lines.index { |line| line && cells(line).first(head.size) == head }
    raise "#{path} has no table | #{head.join(' | ')} |" unless first

    prose_lines[(first + 2)..].take_while { |line| line&.start_with?("|") }.map { |line| cells(line) }
  end

  def table?(*head)
    prose_lines.any? { |line| line && cells(line).first(head.size) == head }
  end

  # @return [Array<String>] the contents of fenced blocks whose info string begins with `info`
  def blocks(info)
    text.scan(/^```#{Regexp.escape(info)}[^\n]*\n(.*?)^```$/m).flatten
  end

  # What is between backticks.
  def self.code(text)
    text.to_s.scan(/`([^`]+)`/).flatten
  end

  private

  def lines
    @lines ||= text.split("\n")
  end

  # The lines outside fenced blocks; nil for those inside.
  def prose_lines
    @prose_lines ||= begin
      inside = false
      lines.map do |line|
        fence = line.start_with?("```")
        inside = !inside if fence
        line unless inside || fence
      end
    end
  end

  def cells(line)
    line.start_with?("|") ? line.split(/(?<!\\)\|/).drop(1).map(&:strip) : []
  end
end
