# frozen_string_literal: true

RSpec.describe TaskerCore::Templates do
  subject(:templates) { described_class.new }

  let(:yaml) { "name: order\nsteps:\n  - name: one\n    handler: One\n" }

  def documents
    [].tap { |all| templates.each { |source, document| all << [source, JSON.parse(document)] } }
  end

  it "keeps the canonical document of what it is given, YAML or JSON" do
    templates.add("a.yml", yaml, "yaml")
    expect(documents).to match([["a.yml", include("name" => "order", "namespace" => "default", "version" => "1.0.0")]])
    templates.add("b.json", JSON.generate(name: "order", steps: [{ name: "one", handler: "Two" }]), "json")
    expect(documents.map(&:first)).to eq(["b.json"]), "the later one of the same name and version wins"
  end

  it "refuses what cannot run, naming the file, the step and what to correct" do
    expect { templates.add("a.yml", "#{yaml}    dependencies: [two]\n", "yaml") }
      .to raise_error(TaskerCore::TemplateError, /a\.yml.*one.*two/m)
  end

  it "loads files, folders and globs" do
    in_folder do |folder|
      FileUtils.mkdir_p("#{folder}/deep")
      File.write("#{folder}/a.yml", yaml)
      File.write("#{folder}/deep/b.yaml", yaml.sub("order", "other"))
      expect(templates.load_paths([folder])).to eq(["#{folder}/a.yml", "#{folder}/deep/b.yaml"])
      expect(templates.load_paths(["#{folder}/*.yml", "#{folder}/nothing/**/*.yml"])).to eq(["#{folder}/a.yml"])
    end
  end

  it "says so when a path that must exist does not" do
    expect { templates.load_paths(["/no/such/place"]) }
      .to raise_error(TaskerCore::ConfigurationError, %r{/no/such/place})
  end

  it "names the file that is no text, or cannot be read" do
    in_folder do |folder|
      texts = { "binary" => "\xFF\x00\x01".b, "utf16" => "\uFEFFname: a".encode("UTF-16LE").b }
      texts.each do |name, bytes|
        File.binwrite("#{folder}/#{name}.yaml", bytes)
        expect { TaskerCore.load_template("#{folder}/#{name}.yaml") }
          .to raise_error(TaskerCore::TemplateError, /#{name}\.yaml: the file is not UTF-8/)
        expect { described_class.new.load_paths(["#{folder}/#{name}.yaml"]) }
          .to raise_error(TaskerCore::TemplateError, /#{name}\.yaml/)
      end
      expect { TaskerCore.load_template("#{folder}/none.yaml") }.to raise_error(TaskerCore::TemplateError, /none\.yaml/)
    end
  end
end
