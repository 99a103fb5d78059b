# frozen_string_literal: true

require "digest"

# PGMQ's SQL is somebody else's: it is replaced as a whole, never edited.
RSpec.describe "PGMQ's SQL" do
  let(:folder) { File.expand_path("../../ext/tasker_engine/migrations/pgmq", __dir__) }

  it "is pgmq.sql of PGMQ 1.11.1, cut into files" do
    whole = Dir.glob(File.join(folder, "*.sql")).map { |file| File.binread(file) }.join
    expect(Digest::SHA256.hexdigest(whole)).to eq("71cf82eaf1d81394a99f56ddf184c3dc8bf5eeb6f204ef9bad6e146e141eca2e")
  end

  it "comes with its licence" do
    expect(File.read(File.join(folder, "LICENSE"))).to include("The PostgreSQL License")
  end
end
