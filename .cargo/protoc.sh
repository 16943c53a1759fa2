#!/bin/sh
# protoc for the build of tf-provider, over the pure-Rust protox (see docs/internals/decisions/0003).
here=$(dirname "$0")
exec env -u CARGO_TARGET_DIR -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS -u TARGET -u CARGO_BUILD_TARGET \
  cargo run --quiet --locked --manifest-path "$here/protoc/Cargo.toml" --target-dir "$here/protoc/target" -- "$@"
