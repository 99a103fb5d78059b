# frozen_string_literal: true

# A fault in Rust is an exception in Ruby, never the end of the process.
RSpec.describe "The boundary: panics" do
  it "become InternalError, with the GVL and without it" do
    [false, true].each do |without_gvl|
      expect { TaskerCore::Native.simulate_panic(without_gvl) }
        .to raise_error(TaskerCore::InternalError, /panic: simulated.*report it/)
    end
  end

  it "leave everything usable" do
    configure
    TaskerCore.engine.open
    begin
      TaskerCore::Native.simulate_panic(true)
    rescue TaskerCore::InternalError
      nil
    end
    expect(TaskerCore.status).to be_a(Hash)
  end
end
