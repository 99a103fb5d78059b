# frozen_string_literal: true

# A Ruby file of lib/, read for the facts that a document states: no comments.
class RubySource
  CALL = /
    (?:TaskerCore\.logger\.|Native\.log\((?:::Logger::)?)(?<level>[A-Za-z]+)(?:\(|,\ )
    "(?<message>(?:\\.|[^"\\])*)"
  /x
  # What stands between here and the bracket that closes the call.
  ARGUMENTS = /\G(?<inside>(?:[^()]|(?<brackets>\((?:[^()]|\g<brackets>)*\)))*)\)/m

  attr_reader :code

  # @return [Array<RubySource>]
  def self.all
    Dir[File.join(Document::ROOT, "lib/**/*.rb")].sort.map { |path| new(path) }
  end

  def initialize(path)
    @code = File.read(path, encoding: "UTF-8").gsub(/^\s*#.*$/, "")
  end

  # Every line that goes to the log: [[level, message with {} for what varies, [field, …]], …].
  def log_calls
    calls = []
    code.scan(CALL) do
      call = Regexp.last_match
      arguments = ARGUMENTS.match(code, call.end(0))[:inside]
      fields = arguments.scan(/,\s*"?([a-z_.]+)"?: /).flatten
      calls << [call[:level].downcase, call[:message].gsub(/#\{[^}]*\}/, "{}"), fields]
    end
    calls
  end
end
