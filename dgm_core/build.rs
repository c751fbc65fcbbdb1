//! Compiles the protobuf files with a pure-Rust compiler: no protoc binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new("../proto");
    println!("cargo:rerun-if-changed=../proto");
    let files = [root.join("dgm/api/config/v1/config.proto"), root.join("dgm/api/core/v1/core.proto")];
    let descriptors = protox::compile(files, [root])?;
    prost_build::Config::new().include_file("generated.rs").compile_fds(descriptors)?;
    Ok(())
}
