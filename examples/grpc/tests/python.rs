//! Third-party clients: Python's grpcio against `examples/grpc/tonic`, with only the `.proto` files.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

const PACKAGES: [&str; 2] = ["grpcio-tools", "googleapis-common-protos"];

/// A Python with its packages, in a virtual environment under `target/`.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-python");
    testkit::python(&folder, &PACKAGES, "grpc_tools.protoc, google.rpc.status_pb2")
}

/// The example, on a free port. Killed when dropped.
struct Example {
    process: Child,
    address: String,
}

impl Example {
    fn start() -> Self {
        // Built already, unless this test is run alone.
        let build = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "grpc", "--example", "tonic"]).status();
        assert!(build.is_ok_and(|status| status.success()), "the example does not build");
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let example = profile.join("examples").join("tonic").with_extension(env::consts::EXE_EXTENSION);
        let mut process = Command::new(example)
            .env("TONIC_ADDR", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("where it listens").to_owned();
        Self { process, address }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn grpcio_steps_up_and_reads_the_reason() {
    let python = python();
    let example = Example::start();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client.py");
    let output = Command::new(python).arg(client).arg(&example.address).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success() && out.ends_with("done\n"), "{out}{err}");
}

/// Runs the snippet for this login, and types these lines.
fn snippet(generated: &Path, address: &str, login: &str, typed: &str) -> Output {
    let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("snippets/step_up.py");
    let mut process = Command::new(python())
        .arg(snippet)
        .args([address, login])
        .env("PYTHONPATH", generated)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has failed already does not read it; its output says why.
    let _ = process.stdin.take().unwrap().write_all(typed.as_bytes());
    process.wait_with_output().unwrap()
}

#[test]
fn the_snippet_steps_up_and_repeats_once() {
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-snippet");
    fs::create_dir_all(&generated).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = |option: &str| format!("--{option}={}", generated.display());
    let protoc = Command::new(python())
        .args(["-m", "grpc_tools.protoc", "-Iproto", &out("python_out"), &out("grpc_python_out")])
        .args(["bank/v1/bank.proto", "stepup/v1/step_up.proto"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(protoc.status.success(), "{protoc:?}");

    let example = Example::start();
    for (login, typed, passes, says) in [
        ("alice-1", "000000\n123456\n", true, "passed: 10 to bob, approved by SMS\n"),
        ("alice-1", "", true, "passed: 10 to bob, approved by SMS\n"),
        ("alice-2", "\n", false, "Cancelled\n"),
        ("bob-1", "123456\n", false, "This channel is not enrolled"),
    ] {
        let output = snippet(&generated, &example.address, login, typed);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.success(), passes, "{login}: {out}{err}");
        assert!(if passes { out.ends_with(says) } else { err.contains(says) }, "{login}: {out}{err}");
    }
}
