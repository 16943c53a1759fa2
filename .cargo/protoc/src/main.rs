//! Answers the one call that `prost-build` makes of `protoc`: compile these files to a descriptor set.
//! With it a plain `cargo build` needs no protobuf compiler on the machine.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let request = Request::parse(std::env::args().skip(1))?;
    if request.version {
        println!("libprotoc 29.0");
        return Ok(());
    }
    let set = protox::compile(&request.files, &request.includes)?;
    std::fs::write(request.output.ok_or("missing -o FILE")?, set.encode_to_vec())?;
    Ok(())
}

#[derive(Default)]
struct Request {
    version: bool,
    output: Option<PathBuf>,
    includes: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Request {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut request = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--version" => request.version = true,
                "-o" => request.output = arguments.next().map(PathBuf::from),
                "-I" => request.includes.extend(arguments.next().map(PathBuf::from)),
                // Flags that protox follows anyway: proto3 optional fields, imports and source info in the set.
                flag if flag.starts_with("--") => {}
                file => request.files.push(file.into()),
            }
        }
        Ok(request)
    }
}
