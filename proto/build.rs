//! Compiles the `.proto` files in Rust, so that building needs no protoc.

use std::error::Error;

const FILES: [&str; 2] = ["rollcall/v1/manifest.proto", "rollcall/v1/ota.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
