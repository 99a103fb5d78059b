# frozen_string_literal: true

module TaskerCore
  # Owns: the templates this process knows, as documents, so that an engine that opens now or later (after a fork, for
  # example) gets all of them. The engine checks them.
  class Templates
    # @param path [String, Pathname] a file
    # @return [String] its text
    # @raise [TemplateError] it cannot be read, or is not text
    def self.read(path)
      text = File.read(path, encoding: "UTF-8")
      return text if text.valid_encoding?

      raise TemplateError, "#{path}: the file is not UTF-8 text; templates are YAML in UTF-8"
    rescue SystemCallError => e
      raise TemplateError, "#{path}: the file cannot be read (#{e.message})"
    end

    def initialize
      @documents = {}
      @event_names = []
      @lock = Mutex.new
    end

    # Checks a document and keeps it. A later one of the same namespace, name and version replaces it.
    # @param source [String] the file, or another name for the document in errors
    # @param text [String]
    # @param format [String] "yaml" or "json"
    # @return [String] the document in its canonical form, as JSON
    # @raise [TemplateError]
    def add(source, text, format)
      canonical = Native.check_template(source, text, format)
      document = JSON.parse(canonical)
      names = document["steps"].flat_map { |step| (step["publishes_events"] || []).map { |event| event["name"] } }
      @lock.synchronize do
        @documents[document.values_at("namespace", "name", "version")] = [source, canonical].freeze
        @event_names |= names unless names.empty?
      end
      canonical
    end

    # @return [Array<String>] the names of the domain events that the templates declare
    attr_reader :event_names

    # Adds the YAML files at the paths: files, folders, or globs. A glob may match nothing; a path without
    # a wildcard must exist.
    # @param paths [Array<String>]
    # @return [Array<String>] the files
    def load_paths(paths)
      files = Array(paths).flat_map { |path| expand(path.to_s) }.uniq
      files.each { |file| add(file, Templates.read(file), "yaml") }
    end

    # @yieldparam source [String]
    # @yieldparam document [String] canonical JSON
    def each(&block)
      @lock.synchronize { @documents.values }.each { |source, document| block.call(source, document) }
    end

    # Leaves out their steps' configs, which may contain secrets.
    def inspect
      "#<#{self.class} #{@lock.synchronize { @documents.keys }.map { |key| key.join('/') }.join(' ')}>"
    end

    private

    def expand(path)
      return [path] if File.file?(path)
      return Dir.glob(File.join(path, "**/*.{yml,yaml}")).sort if File.directory?(path)
      return Dir.glob(path).select { |file| File.file?(file) }.sort if path.match?(/[*?\[{]/)

      raise ConfigurationError, "template_paths: there is no file or folder #{path}"
    end
  end
end
