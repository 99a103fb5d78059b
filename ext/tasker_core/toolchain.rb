# frozen_string_literal: true

require "rbconfig"
require "shellwords"

# Owns: whether this machine can build the extension, said in words before Cargo is started: Cargo's own errors come
# after minutes, and end in a panic of a build script. Looks where the build will look. Refuses: to install anything.
class Toolchain
  # Where clang-sys, with which Ruby's headers are read, looks for libclang, besides LIBCLANG_PATH and the places that
  # are asked for below: its list for Linux, then that for macOS.
  LIBCLANG_FOLDERS = %w[
    /usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib* /usr/lib*/*/* /usr/lib*/* /usr/lib*
    /usr/local/opt/llvm*/lib/llvm*/lib /Library/Developer/CommandLineTools/usr/lib
    /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib /usr/local/opt/llvm*/lib
  ].freeze
  LIBCLANG_FILES = %w[libclang.so libclang-*.so libclang.so.* libclang-*.so.* libclang.dylib].freeze

  # SQLite without what the store does not use: half a megabyte and some seconds less. A checkout has the same in
  # .cargo/config.toml.
  SQLITE_FLAGS = %w[
    -USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE
    -USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_ENABLE_STAT4 -USQLITE_SOUNDEX -DSQLITE_OMIT_LOAD_EXTENSION
  ].freeze

  # @param manifest [String] path of the Cargo.toml that says which Rust is wanted
  # @param env [#[]] the environment
  # @param root [String] what stands before every path that is looked at: for tests
  def initialize(manifest, env = ENV, root: "")
    @manifest = manifest
    @env = env
    @root = root
  end

  # @return [Array<String>] what is missing and how to get it, a sentence each; empty when the build can begin
  def problems
    [rust_problem, compiler_problem, headers_problem, libclang_problem].compact
  end

  # @return [String, nil] the path of Cargo
  def cargo
    given = @env["CARGO"].to_s
    return given unless given.empty?

    program("cargo", File.join(@env["HOME"].to_s, ".cargo/bin"))
  end

  # @return [String] the command, for a shell, that builds the extension in `crate` below the folder `target`
  def build(crate, target)
    # Ruby's symbols are found when Ruby loads the library.
    link = darwin? ? " -- -C link-arg=-Wl,-undefined,dynamic_lookup" : ""
    manifest = File.join(crate, "Cargo.toml")
    "RUBY=#{RbConfig.ruby.shellescape} LIBSQLITE3_FLAGS=#{SQLITE_FLAGS.join(' ').inspect} #{cargo.shellescape} rustc " \
      "--release --locked --lib --manifest-path #{manifest.shellescape} --target-dir #{target.shellescape}#{link}"
  end

  # @return [String] what {#build} leaves below the folder `target`
  def built(target)
    File.join(target, "release", darwin? ? "libtasker_core.dylib" : "libtasker_core.so")
  end

  # @return [String] the oldest Rust that will do
  def wanted
    File.read(@manifest)[/^rust-version = "([^"]+)"/, 1]
  end

  # @return [Boolean] whether the build will find a libclang
  def libclang?
    given = @env["LIBCLANG_PATH"]
    return folders.any? { |folder| libclangs(folder).any? } unless given

    path = File.join(@root, given)
    libclangs(path).any? || libclangs(File.dirname(path)).include?(path)
  end

  # @return [String, nil] what is wrong, and how to get it right
  def libclang_problem
    return if libclang?

    if (given = @env["LIBCLANG_PATH"])
      return "LIBCLANG_PATH is #{given.inspect}, and there is no libclang there. Unset it, or name the folder that " \
             "holds libclang.so."
    end

    "there is no libclang, which reads Ruby's headers. Debian, Ubuntu: apt-get install libclang-dev. Fedora: dnf " \
      "install clang-devel. Alpine: apk add clang-dev. macOS: xcode-select --install. Elsewhere set LIBCLANG_PATH."
  end

  private

  def program(name, *more)
    [*@env["PATH"].to_s.split(":"), *more].map { |folder| File.join(@root, folder, name) }
                                          .find { |path| File.file?(path) && File.executable?(path) }
  end

  # What a program prints first; nil without one.
  def answer(program, argument)
    program && IO.popen([program, argument], err: File::NULL, &:gets)&.chomp
  rescue SystemCallError
    nil
  end

  def darwin?
    RbConfig::CONFIG["host_os"].include?("darwin")
  end

  def rust_problem
    return "there is no cargo. Install Rust from https://rustup.rs, then install this gem again." unless cargo

    found = version
    return if found.nil? || Gem::Version.new(found) >= Gem::Version.new(wanted)

    "Rust #{found} is too old: this gem needs #{wanted}. Run: rustup update"
  end

  # Rust and Cargo have the same numbers.
  def version
    answer(cargo, "--version").to_s[/\Acargo (\d+\.\d+\.\d+)/, 1]
  end

  def folders
    paths = [*asked_for, *@env["LD_LIBRARY_PATH"].to_s.split(":"), *@env["LIBRARY_PATH"].to_s.split(":")]
    [*paths, *LIBCLANG_FOLDERS].flat_map { |folder| Dir.glob(File.join(@root, folder)) }
  end

  # It compiles SQLite and the cryptography, and links the library.
  def compiler_problem
    return if !@env["CC"].to_s.empty? || program("cc")

    "there is no C compiler (cc). Debian, Ubuntu: apt-get install build-essential. Fedora: dnf install gcc. " \
      "Alpine: apk add build-base. macOS: xcode-select --install."
  end

  def headers_problem
    header = File.join(RbConfig::CONFIG["rubyhdrdir"].to_s, "ruby.h")
    return if File.exist?(File.join(@root, header))

    "there are no headers of Ruby (#{header}). Debian, Ubuntu: apt-get install ruby-dev. Fedora: dnf install " \
      "ruby-devel. Alpine: apk add ruby-dev. Elsewhere install a Ruby with its headers."
  end

  # Where LLVM and Xcode say that they are.
  def asked_for
    llvm = answer(@env["LLVM_CONFIG_PATH"] || program("llvm-config"), "--prefix")
    xcode = answer(program("xcode-select"), "--print-path")
    [*(%w[bin lib lib64].map { |folder| File.join(llvm, folder) } if llvm),
     *(File.join(xcode, "Toolchains/XcodeDefault.xctoolchain/usr/lib") if xcode)]
  end

  # libclang-cpp is the C++ interface, which the build cannot use; nor can it use a link to nowhere, or a library for
  # another word size.
  def libclangs(folder)
    Dir.glob(LIBCLANG_FILES, base: folder).reject { |file| file.include?("-cpp.") }
       .map { |file| File.join(folder, file) }.select { |path| path.end_with?(".dylib") || elf?(path) }
  end

  def elf?(path)
    File.file?(path) && File.binread(path, 5) == "\x7fELF".b + [[0].pack("J").bytesize / 4].pack("C")
  end
end
