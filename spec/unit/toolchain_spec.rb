# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "../../ext/tasker_core/toolchain"

# What is said before the extension is built, on machines that are made up.
RSpec.describe Toolchain do
  around { |example| Dir.mktmpdir { |folder| (@root = folder) && example.run } }

  let(:manifest) { File.expand_path("../../Cargo.toml", __dir__) }
  let(:env) { { "PATH" => "/usr/bin", "HOME" => "/root" } }

  def put(path, text = "", mode = 0o644)
    path = File.join(@root, path)
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, text)
    File.chmod(mode, path)
  end

  def cargo(version = "1.99.0", path = "/usr/bin/cargo")
    put(path, "#!/bin/sh\necho cargo #{version} '(abc 2026-01-01)'\n", 0o755)
  end

  before do
    put("/usr/bin/cc", "", 0o755)
    put(File.join(RbConfig::CONFIG["rubyhdrdir"], "ruby.h"))
  end

  def problems(extra = {})
    described_class.new(manifest, env.merge(extra), root: @root).problems
  end

  it "finds nothing wrong where Rust and libclang are" do
    cargo
    put("/usr/lib/llvm-14/lib/libclang-14.so.1")
    expect(problems).to eq([])
  end

  it "finds Rust where rustup puts it" do
    cargo("1.99.0", "/root/.cargo/bin/cargo")
    expect(problems("LIBCLANG_PATH" => "/somewhere")).to eq([])
  end

  it "says that there is no Rust, and no libclang" do
    expect(problems).to match([/no cargo.*rustup\.rs/, /no libclang.*libclang-dev/])
  end

  it "says that Rust is too old" do
    cargo("1.60.0")
    wanted = described_class.new(manifest).wanted
    expect(problems("LIBCLANG_PATH" => "/somewhere")).to eq(
      ["Rust 1.60.0 is too old: this gem needs #{wanted}. Run: rustup update"]
    )
  end

  it "says that there is no C compiler, and no headers of Ruby" do
    cargo
    FileUtils.rm_r([File.join(@root, "usr/bin/cc"), File.join(@root, RbConfig::CONFIG["rubyhdrdir"])])
    expect(problems("LIBCLANG_PATH" => "/somewhere")).to match(
      [/no C compiler.*build-essential/, /no headers of Ruby.*ruby\.h.*ruby-dev/]
    )
    expect(problems("LIBCLANG_PATH" => "/somewhere", "CC" => "clang")).to match([/no headers/])
  end

  it "builds the SQLite that a checkout has" do
    checkout = File.read(File.expand_path("../../.cargo/config.toml", __dir__))[/^LIBSQLITE3_FLAGS = "(.*)"/, 1]
    expect(Toolchain::SQLITE_FLAGS.join(" ")).to eq(checkout)
  end

  it "takes the C++ interface for no libclang" do
    cargo
    put("/usr/lib/llvm-14/lib/libclang-cpp.so.14")
    put("/usr/lib/x86_64-linux-gnu/libclang-cpp.so.14")
    expect(problems).to match([/no libclang/])
  end

  %w[/usr/lib/llvm-14/lib/libclang.so /usr/lib/x86_64-linux-gnu/libclang-14.so.1 /usr/lib64/libclang.so.17
     /usr/local/lib/libclang.so.20.1].each do |path|
    it "finds #{path}" do
      cargo
      put(path)
      expect(problems).to eq([])
    end
  end

  it "stops the installation with a sentence for each" do
    said, status = Open3.capture2e({ "PATH" => @root, "HOME" => @root, "CARGO" => nil },
                                   RbConfig.ruby, File.expand_path("../../ext/tasker_core/extconf.rb", __dir__),
                                   chdir: @root)
    expect(said).to start_with("tasker_core cannot be built: there is no cargo. Install Rust from https://rustup.rs")
    expect([status.exitstatus, Dir.children(@root)]).to eq([1, ["usr"]])
  end
end
