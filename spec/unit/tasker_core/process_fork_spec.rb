# frozen_string_literal: true

RSpec.describe TaskerCore::ProcessFork do
  it "tells the child, and only the child" do
    reader, writer = IO.pipe
    allow(TaskerCore.engine).to receive(:after_fork_child) { writer.puts(Process.pid) }
    pid = fork { exit!(0) }
    Process.wait(pid)
    writer.close
    expect(reader.read.split.map(&:to_i)).to eq([pid])
  end

  it "leaves fork's answers alone" do
    pid = fork { exit!(3) }
    _, status = Process.wait2(pid)
    expect(status.exitstatus).to eq(3)
  end
end
