//! Compiles the messages and methods that the benches call from the server's own protos, so that both carry the same.

use std::error::Error;

use prost::Message;

const PROTO: &str = "../../proto";
const METHODS: [&str; 3] = ["Verify", "WhoAmI", "GetProduct"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let files = protox::compile(["gatepost/v1/auth.proto", "gatepost/v1/products.proto"], [PROTO])?;
    let mut files = tonic_prost_build::FileDescriptorSet::decode(files.encode_to_vec().as_slice())?;
    files.file.retain(|file| file.package() != "google.api");
    for service in files.file.iter_mut().flat_map(|file| &mut file.service) {
        service.method.retain(|method| METHODS.contains(&method.name()));
    }
    tonic_prost_build::configure().build_client(false).compile_fds(files)?;
    Ok(())
}
