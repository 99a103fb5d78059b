# frozen_string_literal: true

require "openssl"

module Verify
  # The ways that spans, lines and numbers may take to a collector: gRPC and HTTP, compressed, and through TLS, which
  # haproxy ends in front of a collector that does not.
  class Transport
    PROTOCOLS = { "grpc" => "grpc", "http" => "http/protobuf" }.freeze
    ALL = PROTOCOLS.keys.product([[], %w[gzip], %w[tls]]).map do |protocol, extras|
      [protocol, *extras].join("+")
    end.freeze

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

      authority, certificate = %w[authority.pem server.pem].map { |file| File.join(services.folder, file) }
      Transport.certificates.zip([authority, certificate]) { |pem, file| File.write(file, pem) }
      tls = services.haproxy(format(HAPROXY, port: free = Services.free_port, target: port, certificate: certificate,
                                             options: @protocol == "grpc" ? " proto h2" : ""), free)
      env.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => tls.url, "SSL_CERT_FILE" => authority)
    end

    # An authority, and a server's certificate from it with its key, for 127.0.0.1: both as PEM.
    def self.certificates
      authority, server = Array.new(2) { OpenSSL::PKey::RSA.new(2048) }
      issuer = certificate("tasker_core's authority", authority, %w[basicConstraints CA:TRUE])
      issuer.sign(authority, OpenSSL::Digest.new("SHA256"))
      issued = certificate("127.0.0.1", server, %w[subjectAltName IP:127.0.0.1])
      issued.issuer = issuer.subject
      issued.sign(authority, OpenSSL::Digest.new("SHA256"))
      [issuer.to_pem, issued.to_pem + server.to_pem]
    end

    def self.certificate(name, key, extension)
      OpenSSL::X509::Certificate.new.tap do |made|
        made.version = 2
        made.serial = rand(1 << 60)
        made.subject = made.issuer = OpenSSL::X509::Name.new([["CN", name]])
        made.public_key = key.public_key
        made.not_before = Time.now - 3600
        made.not_after = Time.now + 86_400
        made.add_extension(OpenSSL::X509::ExtensionFactory.new.create_extension(*extension))
      end
    end
    private_class_method :certificate
  end
end
