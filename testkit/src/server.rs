//! A Redis server for one test, on a free port, stopped at the end of the test.

use std::{
    env, fs,
    future::Future,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    panic::Location,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};

#[cfg(feature = "redis")]
use tower_step_up::{Policy, Secret, StepUp, StepUpBuilder, discard, store::RedisStore};

pub struct Server {
    claim: Claim,
    options: Vec<String>,
    process: Option<Child>,
}

/// A free port, claimed by creating a directory with its name. The port is below the ephemeral range of the system, and
/// the port ten thousand above it is left for the cluster bus. The directory is in memory if possible: a cluster node
/// that waits for a slow disk does not respond, and its peers consider it failed.
pub struct Claim {
    port: u16,
    directory: PathBuf,
}

impl Claim {
    pub fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let (first, count) = (11_000, 10_000);
        let start = process::id().wrapping_mul(97);
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { env::temp_dir() };
        for _ in 0..count {
            let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = first + u16::try_from(start.wrapping_add(next) % count).expect("an offset below 10,000");
            let directory = parent.join(format!("step-up-redis-{port}"));
            if fs::create_dir(&directory).is_err() {
                continue;
            }
            let claim = Self { port, directory };
            if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
                return claim;
            }
        }
        panic!("no port of {count} from {first} on is free, or {} cannot be written", parent.display())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with additional command-line options.
    pub fn with(more: &[&str]) -> Self {
        let mut options = vec!["--save", "", "--appendonly", "no"];
        options.extend(more);
        Self::run(Claim::new(), &options)
    }

    /// Starts a sentinel with this configuration.
    pub fn sentinel(configuration: &str) -> Self {
        let claim = Claim::new();
        let file = claim.directory.join("sentinel.conf");
        fs::write(&file, configuration).expect("the configuration file is written");
        Self::run(claim, &[file.to_str().expect("the path is UTF-8"), "--sentinel"])
    }

    fn run(claim: Claim, options: &[&str]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = Self { claim, options, process: None };
        server.again();
        server
    }

    /// Starts it again, empty, at the same address.
    pub fn again(&mut self) {
        let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let port = self.claim.port.to_string();
        let log =
            fs::File::options().create(true).append(true).open(self.claim.directory.join("log")).expect("a log file");
        let spawned = Command::new(&program)
            .args(&self.options)
            .args(["--port", &port, "--bind", "127.0.0.1", "--dir"])
            .arg(&self.claim.directory)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let process = self.process.insert(spawned.unwrap_or_else(|error| {
            panic!(
                "{program} cannot be started: {error}. These tests need a Redis or Valkey server: apt-get install \
                 redis-server, or REDIS_SERVER=/path/to/valkey-server"
            )
        }));
        let id = format!("process_id:{}\r", process.id());
        while self.try_say(&["INFO", "server"]).is_none_or(|answer| !answer.contains(&id)) {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none(), "{program} ended: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.claim.directory.join("log")).unwrap_or_default()
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.process.as_ref().expect("the server is running").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &*id]).status().is_ok_and(|status| status.success()));
    }

    /// Sends a command on a new connection and returns the raw response.
    pub fn say(&self, command: &[&str]) -> String {
        self.try_say(command).expect("the server responds")
    }

    fn try_say(&self, command: &[&str]) -> Option<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.claim.port)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let words = command.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let request = format!("*{}\r\n{}", command.len(), words.collect::<String>());
        socket.write_all(request.as_bytes()).ok()?;
        socket.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The names of all keys.
    pub fn keys(&self) -> Vec<String> {
        let answer = self.say(&["KEYS", "*"]);
        answer.split("\r\n").filter(|line| line.starts_with("step-up:")).map(str::to_owned).collect()
    }

    pub fn number(&self, command: &[&str]) -> i64 {
        let answer = self.say(command);
        answer.trim_start_matches(':').trim().parse().unwrap_or_else(|_| panic!("{command:?}: {answer}"))
    }

    /// Waits until the other server, a replica of this one, has received all writes.
    pub async fn is_copied_to(&self, replica: &Self) {
        let written = self.offset();
        until(async || replica.offset() >= written).await;
    }

    fn offset(&self) -> u64 {
        let answer = self.say(&["INFO", "replication"]);
        let line = answer.split("\r\n").find_map(|line| line.strip_prefix("master_repl_offset:"));
        line.and_then(|offset| offset.parse().ok()).unwrap_or_else(|| panic!("no offset: {answer}"))
    }

    pub fn port(&self) -> u16 {
        self.claim.port
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.claim.port)
    }
}

/// Test support on top of a server.
#[cfg(feature = "redis")]
impl Server {
    pub fn store(&self) -> RedisStore {
        store(&self.address())
    }

    /// A node: its own engine on this server.
    pub fn node(&self) -> StepUp {
        self.node_with(Policy::new())
    }

    pub fn node_with(&self, policy: Policy) -> StepUp {
        self.builder(policy).build().unwrap()
    }

    pub fn builder(&self, policy: Policy) -> StepUpBuilder {
        Self::builder_at(&self.address(), policy)
    }

    /// A node that connects through another address.
    pub fn builder_at(address: &str, policy: Policy) -> StepUpBuilder {
        StepUp::builder()
            .sandbox()
            .otp("SMS", discard)
            .push("BIO", discard)
            .policy(policy)
            .store(store(address))
            .record_key(Secret::new([1; 32]).unwrap())
            .secret(Secret::new([2; 32]).unwrap())
    }
}

#[cfg(feature = "redis")]
fn store(address: &str) -> RedisStore {
    RedisStore::open(address).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // If a test fails, print the last log lines of its servers.
        if thread::panicking() {
            let log = self.log();
            let last = log.lines().count().saturating_sub(20);
            let last: Vec<_> = log.lines().skip(last).collect();
            eprintln!("the server at {}:\n{}", self.claim.port, last.join("\n"));
        }
    }
}

/// Waits for a condition; the test runner's timeout ends a test that waits without success.
#[track_caller]
pub fn until<F: Future<Output = bool>>(mut is: impl FnMut() -> F) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        for _ in 0..1200 {
            if is().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("condition not met: {place}");
    }
}
