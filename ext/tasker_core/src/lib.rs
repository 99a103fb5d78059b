use magnus::Error;
#[magnus::init]
fn init(_ruby: &magnus::Ruby) -> Result<(), Error> { Ok(()) }
