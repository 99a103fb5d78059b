# frozen_string_literal: true

require "openssl"

module Verify
  # The ways that spans, lines and numbers may take to a collector: gRPC and HTTP, compressed, and through TLS, which
  # haproxy ends in front of a collector that does not.
  class Transport
    PROTOCOLS = { "grpc" => "grpc", "http" => "http/protobuf" }.freeze
    ALL = PROTOCOLS.keys.product([[], %w[gzip], %w[tls]]).map { |protocol, extras| [protocol, *extras].join("+") }.freeze

    HAPROXY = <<~CONFIG
      defaults
        mode http
        timeout connect 5s
        timeout client 60s
        timeout server 60s
      frontend collector
        bind 127.0.0.1:%<port>d ssl crt %<certificate>s alpn h2,http/1.1
        default_backend rotel
      backend rotel
        server rotel 127.0.0.1:%<target>d%<options>s
    CONFIG

    attr_reader :name

    # @param name [String] one of {ALL}
    def initialize(name)
      @name = name
      @protocol, *@extras = name.split("+")
    end

    # What a worker needs in its environment to send this way.
    # @param services [Services]
    # @param rotel [Services::Running]
    # @return [Hash{String => String}]
    def environment(services, rotel)
      env = { "OTEL_EXPORTER_OTLP_PROTOCOL" => PROTOCOLS.fetch(@protocol) }
      env["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip" if @extras.include?("gzip")
      port = URI(@protocol == "grpc" ? rotel.url : rotel.http_url).port
      return env.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => "http://127.0.0.1:#{port}") unless @extras.include?("tls")

      certificate = File.join(services.folder, "tls.pem")
      File.write(certificate, Transport.self_signed)
      tls = services.haproxy(format(HAPROXY, port: free = Services.free_port, target: port, certificate: certificate,
                                             options: @protocol == "grpc" ? " proto h2" : ""), free)
      env.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => tls.url, "SSL_CERT_FILE" => certificate)
    end

    # A certificate for 127.0.0.1 with its key, as PEM: its own authority.
    def self.self_signed
      key = OpenSSL::PKey::RSA.new(2048)
      certificate = OpenSSL::X509::Certificate.new
      certificate.version = 2
      certificate.serial = 1
      certificate.subject = certificate.issuer = OpenSSL::X509::Name.parse("/CN=127.0.0.1")
      certificate.public_key = key.public_key
      certificate.not_before = Time.now - 3600
      certificate.not_after = Time.now + 86_400
      names = OpenSSL::X509::ExtensionFactory.new(certificate, certificate)
      certificate.add_extension(names.create_extension("subjectAltName", "IP:127.0.0.1,DNS:localhost"))
      certificate.add_extension(names.create_extension("basicConstraints", "CA:TRUE", true))
      certificate.sign(key, OpenSSL::Digest.new("SHA256"))
      certificate.to_pem + key.to_pem
    end
  end
end
