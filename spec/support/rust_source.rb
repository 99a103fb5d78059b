# frozen_string_literal: true

# A Rust file, read for the facts that a document states: no comments, no test modules.
class RustSource
  ROOT = File.expand_path("../..", __dir__)
  STRING = /"(?:\\.|[^"\\])*"/m
  COMMENT = %r{//[^\n]*}
  TESTS = /^[ \t]*#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod \w+ \{.*?^\}/m

  attr_reader :path, :code

  # @return [Array<RustSource>] every file of the crates
  def self.all
    Dir.glob("ext/*/src/**/*.rs", base: ROOT).sort.reject do |path|
      path.end_with?("/tests.rs")
    end.map { |path| new(path) }
  end

  def initialize(path)
    @path = path
    text = File.read(File.join(ROOT, path), encoding: "UTF-8")
    # Comments go, strings that look like one stay.
    @code = text.gsub(/#{STRING}|#{COMMENT}/m) { |found| found.start_with?("//") ? "" : found }.gsub(TESTS, "")
  end

  # The value of a constant, as it is written.
  def constant(name)
    code[/\bconst #{name}: [^=]+= (.+?);/m, 1]
  end

  # The arguments of every call of a `tracing` macro: [[level, [argument, …]], …].
  def log_calls
    calls = []
    code.scan(/\btracing::(error|warn|info|debug|trace)!\(/) do |(level)|
      calls << [level, arguments(Regexp.last_match.end(0))]
    end
    code.scan(/\b(task_line|step_line)!\(\s*(\w+),\s*\w+,/) do |(macro, level)|
      calls << [level, LINES.fetch(macro) + arguments(Regexp.last_match.end(0)).drop(macro == "step_line" ? 2 : 1)]
    end
    calls
  end

  # What each line about a task, or about a step, says: engine/report/lines.rs.
  LINES = { "task_line" => %w[task_uuid correlation_id namespace task_name],
            "step_line" => %w[task_uuid correlation_id step_uuid step_name namespace attempt] }.freeze

  private

  # Splits at commas that are in no bracket and no string.
  def arguments(from)
    depth = 0
    found = [+""]
    code[from..].scan(/#{STRING}|./m) do |token|
      depth += 1 if token.match?(/\A[(\[{]\z/)
      if token.match?(/\A[)\]}]\z/)
        break if depth.zero?

        depth -= 1
      end
      token == "," && depth.zero? ? found << +"" : found.last << token
    end
    found.map(&:strip).reject(&:empty?)
  end
end
