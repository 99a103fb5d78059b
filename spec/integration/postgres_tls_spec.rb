# frozen_string_literal: true

require "open3"
require "openssl"

# A PostgreSQL that speaks TLS, with a certificate of an authority of its own.
RSpec.describe "TLS to PostgreSQL" do
  server = File.expand_path("../../bin/postgres", __dir__)

  before do
    skip "needs PostgreSQL" if Dir["/usr/lib/postgresql/*/bin/initdb"].empty? && !ENV["CI"]
  end

  # @return [OpenSSL::X509::Certificate]
  def certificate(name, key, issuer: nil, issuer_key: key, **extensions)
    OpenSSL::X509::Certificate.new.tap do |made|
      made.version = 2
      made.serial = rand(1..(2**63))
      made.subject = OpenSSL::X509::Name.parse("/CN=#{name}")
      made.issuer = issuer ? issuer.subject : made.subject
      made.public_key = key.public_key
      made.not_before = Time.now - 60
      made.not_after = Time.now + 3600
      factory = OpenSSL::X509::ExtensionFactory.new(issuer || made, made)
      extensions.each { |kind, value| made.add_extension(factory.create_extension(kind.to_s, value)) }
      made.sign(issuer_key, "SHA256")
    end
  end

  def write_certificates(folder)
    root_key, key = Array.new(2) { OpenSSL::PKey::RSA.new(2048) }
    root = certificate("authority", root_key, basicConstraints: "CA:TRUE", keyUsage: "keyCertSign")
    leaf = certificate("server", key, issuer: root, issuer_key: root_key, subjectAltName: "IP:127.0.0.1")
    { "root.crt" => root, "server.crt" => leaf, "server.key" => key }.each do |name, made|
      File.write("#{folder}/#{name}", made.to_pem, perm: 0o600)
    end
  end

  around do |example|
    @folder = Open3.capture2({ "TEST_DATABASE_URL" => nil }, server, "folder").first.chomp
    write_certificates(@folder)
    settings = { ssl: "on", ssl_cert_file: "#{@folder}/server.crt", ssl_key_file: "#{@folder}/server.key" }
    options = settings.flat_map { |name, value| ["--set", "#{name}=#{value}"] }
    @url = Open3.capture2(server, "start", "--fast", *options, @folder).first.chomp
    example.run
  ensure
    TaskerCore.shutdown
    system(server, "remove", @folder)
  end

  def encrypted?
    ours = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tasker_core'"
    sql = "SELECT DISTINCT ssl FROM #{ours}"
    Open3.capture2("psql", "-XAtd", @url, "-c", sql).first == "t\n"
  end

  def open_with(query)
    TaskerCore.shutdown
    configure(database: "#{@url}?#{query}")
    TaskerCore.engine.open
    TaskerCore.status
  end

  it "is used as sslmode says" do
    open_with("sslmode=require")
    expect(encrypted?).to be(true)
    open_with("sslmode=verify-full&sslrootcert=#{@folder}/root.crt")
    expect(encrypted?).to be(true)
    expect { open_with("sslmode=verify-full") }
      .to raise_error(TaskerCore::StoreError, /invalid peer certificate: UnknownIssuer/)
    expect { open_with("sslmode=verify-full&sslrootcert=#{@folder}/none.crt") }.to raise_error(TaskerCore::StoreError)
  end
end
