//! The generated code of the challenge endpoints is that of `examples/grpc`, which is checked against the `.proto` file,
//! without what connects: this crate has no transport.

use std::{fs, path::Path};

#[test]
fn the_generated_client_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let full = fs::read_to_string(root.join("../../examples/grpc/tests/grpc/stepup.v1.rs")).unwrap();
    let ours = fs::read_to_string(root.join("src/challenges/stepup.v1.rs")).unwrap();
    let start = full.find("    impl StepUpClient<tonic::transport::Channel> {").unwrap();
    let end = start + full[start..].find("    impl<T> StepUpClient<T>\n").unwrap();
    assert!(ours == [&full[..start], &full[end..]].concat(), "copy it, and leave the impl for Channel out");
}
