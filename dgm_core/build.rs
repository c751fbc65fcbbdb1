//! Compiles the protobuf files with a pure-Rust compiler: no protoc binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new("../proto");
    println!("cargo:rerun-if-changed=../proto");
    let core = ["admission", "core", "field", "poller", "registers"].map(|name| format!("core/v1/{name}.proto"));
    let files = core.iter().map(String::as_str).chain(["config/v1/config.proto"]);
    let files = files.map(|file| root.join("dgm/api").join(file));
    let descriptors = protox::compile(files, [root])?;
    prost_build::Config::new().include_file("generated.rs").compile_fds(descriptors)?;
    Ok(())
}
