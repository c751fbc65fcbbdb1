//! Compiles the protobuf files with a pure-Rust compiler: no protoc binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new("../proto");
    println!("cargo:rerun-if-changed=../proto");
    let files = ["config/v1/config.proto", "core/v1/core.proto", "core/v1/registers.proto", "core/v1/admission.proto"];
    let files = files.map(|file| root.join("dgm/api").join(file));
    let descriptors = protox::compile(files, [root])?;
    prost_build::Config::new().include_file("generated.rs").compile_fds(descriptors)?;
    Ok(())
}
