# frozen_string_literal: true

require "open3"
require "tmpdir"
require "yaml"

# Owns: that the files of examples/observability and grafana/provisioning fit each other: mounts, addresses, ports, the
# token. Refuses: whether the images of others start; that takes Docker.
RSpec.describe "examples/observability" do
  root = File.expand_path("../..", __dir__)
  here = File.join(root, "examples/observability")
  read = ->(path) { YAML.safe_load_file(File.join(root, path)) }

  let(:compose) { read.call("examples/observability/compose.yml") }
  let(:services) { compose.fetch("services") }
  let(:environment) { services.dig("worker", "environment") }
  let(:tempo) { read.call("examples/observability/tempo.yml") }
  let(:prometheus) { read.call("examples/observability/prometheus.yml") }

  # {what a container sees => where it is in the checkout}
  def mounts(service)
    services.dig(service, "volumes").to_a.map { |mount| mount.split(":") }.select { |from,| from.start_with?(".") }
            .to_h { |from, to, _| [to, File.expand_path(from, "#{Document::ROOT}/examples/observability")] }
  end

  def promtool(*arguments)
    output, status = Open3.capture2e("promtool", *arguments)
    expect(status).to be_success, output
  rescue Errno::ENOENT
    missing = "promtool is missing (Debian: apt-get install prometheus)"
    ENV["CI"].to_s.empty? ? skip(missing) : raise(missing)
  end

  it "mounts files that are there, and images of a certain version" do
    expect(services.keys.flat_map { |name| mounts(name).values }.reject { |path| File.exist?(path) }).to eq([])
    images = services.values.filter_map { |service| service["image"] }
    expect(images).to all(match(/:v?\d+\.\d+\.\d+\z/))
    build = services.dig("worker", "build")
    expect(File.expand_path(build["context"], here)).to eq(root)
    expect(File.exist?(File.join(root, build["dockerfile"]))).to be(true)
  end

  it "copies into the worker's image what there is, and nothing that is left out of what is sent" do
    dockerfile = File.read(File.join(here, "Dockerfile"))
    sent = File.readlines("#{here}/Dockerfile.dockerignore", chomp: true).grep(/\A!/).map { |line| line.delete("!") }
    sources = dockerfile.scan(/^COPY (?!--from)(.+) \S+$/).flat_map { |(paths)| paths.split }
    expect(sources.reject { |path| File.exist?(File.join(root, path)) }).to eq([])
    expect(sources.map { |path| path.split("/").first } - sent).to eq([])
    started = dockerfile[/^CMD \["ruby", "([^"]+)"\]/, 1]
    expect(dockerfile).to match(%r{^COPY examples/\S+ #{Regexp.escape(started)}$})
  end

  it "has a Prometheus that takes its settings and rules as they are mounted" do
    Dir.mktmpdir do |folder|
      mounts("prometheus").each { |to, from| FileUtils.cp(from, File.join(folder, File.basename(to))) }
      promtool("check", "config", File.join(folder, "prometheus.yml"))
    end
  end

  it "has a Prometheus that scrapes the worker, with its token, under a name the alerts look for" do
    scrape = prometheus.fetch("scrape_configs").first
    expect(scrape.dig("static_configs", 0, "targets")).to eq(["worker:#{environment['TASKER_WEB_PORT']}"])
    expect(scrape.dig("authorization", "credentials")).to eq(environment["TASKER_WEB_TOKEN"])
    expect(environment["TASKER_WEB_BIND"]).to eq("0.0.0.0")
    expect(scrape["job_name"]).to start_with("tasker")
  end

  it "has a worker that sends its traces where Tempo takes them" do
    grpc = tempo.dig("distributor", "receivers", "otlp", "protocols", "grpc", "endpoint")
    expect(environment["OTEL_EXPORTER_OTLP_ENDPOINT"]).to eq("http://tempo:#{grpc.split(':').last}")
    expect(environment["TELEMETRY_ENABLED"]).to eq("true")
    expect(mounts("tempo").keys).to include(services.dig("tempo", "command").first.delete_prefix("-config.file="))
  end

  it "has a Grafana that asks both where they listen, and finds the dashboard" do
    sources = read.call("grafana/provisioning/datasources/tasker.yml").fetch("datasources")
    urls = sources.to_h { |source| [source["type"], source["url"]] }
    expect(urls).to eq("prometheus" => "http://prometheus:9090",
                       "tempo" => "http://tempo:#{tempo.dig('server', 'http_listen_port')}")
    expect(sources.select { |source| source["isDefault"] }.map { |source| source["type"] }).to eq(["prometheus"])
    folder = read.call("grafana/provisioning/dashboards/tasker.yml").dig("providers", 0, "options", "path")
    expect(mounts("grafana")["#{folder}/tasker_core.json"]).to eq(File.join(root, "grafana/tasker_core.json"))
    expect(mounts("grafana").keys.grep(%r{\A/etc/grafana/provisioning/}).size).to eq(2)
  end
end
