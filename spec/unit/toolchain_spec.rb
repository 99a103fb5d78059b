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

  # What the build takes for a library: the beginning of an ELF file for 64 bits, or for 32.
  def library(path, bits = [0].pack("J").bytesize * 8)
    put(path, "\x7fELF".b + [bits / 32].pack("C"))
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
    library("/usr/lib/llvm-14/lib/libclang-14.so.1")
    expect(problems).to eq([])
  end

  it "finds Rust where rustup puts it" do
    cargo("1.99.0", "/root/.cargo/bin/cargo")
    library("/usr/lib/libclang.so")
    expect(problems).to eq([])
  end

  it "says that there is no Rust, and no libclang" do
    expect(problems).to match([/no cargo.*rustup\.rs/, /no libclang.*libclang-dev/])
  end

  it "says that Rust is too old" do
    cargo("1.60.0")
    library("/usr/lib/libclang.so")
    wanted = described_class.new(manifest).wanted
    expect(problems).to eq(
      ["Rust 1.60.0 is too old: this gem needs #{wanted}. Run: rustup update"]
    )
  end

  it "says that there is no C compiler, and no headers of Ruby" do
    cargo
    library("/usr/lib/libclang.so")
    FileUtils.rm_r([File.join(@root, "usr/bin/cc"), File.join(@root, RbConfig::CONFIG["rubyhdrdir"])])
    expect(problems).to match(
      [/no C compiler.*build-essential/, /no headers of Ruby.*ruby\.h.*ruby-dev/]
    )
    expect(problems("CC" => "clang")).to match([/no headers/])
  end

  it "builds the SQLite that a checkout has" do
    checkout = File.read(File.expand_path("../../.cargo/config.toml", __dir__))[/^LIBSQLITE3_FLAGS = "(.*)"/, 1]
    expect(Toolchain::SQLITE_FLAGS.join(" ")).to eq(checkout)
  end

  it "takes the C++ interface for no libclang" do
    cargo
    %w[/usr/lib/llvm-14/lib/libclang-cpp.so.14 /usr/lib/x86_64-linux-gnu/libclang-cpp.so.14
       /usr/lib/x86_64-linux-gnu/libclang-cpp.so.14.0].each { |path| library(path) }
    expect(problems).to match([/no libclang/])
  end

  it "takes other files that begin with libclang for no libclang" do
    cargo
    %w[/usr/lib/llvm-14/lib/libclangTooling.so.14 /usr/lib/llvm-14/lib/libclang_rt.asan.so
       /usr/lib/llvm-14/lib/libclangAST.a].each { |path| library(path) }
    expect(problems).to match([/no libclang/])
  end

  it "takes a link to nowhere, an empty file and a library for another word size for no libclang" do
    cargo
    put("/usr/lib/libclang.so")
    library("/usr/lib/i386-linux-gnu/libclang-14.so", 96 - ([0].pack("J").bytesize * 8))
    FileUtils.mkdir_p(File.join(@root, "usr/lib/llvm-14/lib"))
    File.symlink("libclang-14.so.1", File.join(@root, "usr/lib/llvm-14/lib/libclang.so.1"))
    expect(problems).to match([/no libclang/])
  end

  %w[/usr/lib/llvm-14/lib/libclang.so /usr/lib/x86_64-linux-gnu/libclang-14.so.1 /usr/lib64/libclang.so.17
     /usr/local/lib/libclang.so.20.1 /usr/local/llvm-18/lib/libclang-18.so
     /usr/lib64/llvm18/lib64/libclang.so].each do |path|
    it "finds #{path}" do
      cargo
      library(path)
      expect(problems).to eq([])
    end
  end

  it "finds libclang where LLVM says that it is, and where programs are linked and loaded from" do
    cargo
    put("/usr/bin/llvm-config", "#!/bin/sh\necho /opt/llvm\n", 0o755)
    expect(problems).to match([/no libclang/])
    library("/opt/llvm/lib64/libclang.so")
    expect(problems).to eq([])
    library("/opt/other/libclang.so.1")
    env.update("PATH" => "", "CC" => "cc", "CARGO" => File.join(@root, "usr/bin/cargo"))
    expect(problems).to match([/no libclang/])
    expect(problems("LIBRARY_PATH" => "/opt/empty:/opt/other")).to eq([])
    expect(problems("LD_LIBRARY_PATH" => "/opt/empty:/opt/other")).to eq([])
  end

  it "looks only where LIBCLANG_PATH says, which is a folder or a file" do
    cargo
    library("/usr/lib/libclang.so")
    library("/opt/clang/libclang-19.so.1")
    expect(problems("LIBCLANG_PATH" => "/opt/clang")).to eq([])
    expect(problems("LIBCLANG_PATH" => "/opt/clang/libclang-19.so.1")).to eq([])
    ["/opt/nowhere", "/opt/clang/libclang.so.1", ""].each do |path|
      expect(problems("LIBCLANG_PATH" => path)).to match([/LIBCLANG_PATH is "#{path}".*no libclang there.*Unset it/])
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
