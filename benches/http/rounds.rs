//! Rounds: every variant in turn, and what the server has used for each.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::{Load, Requests},
    machine, random, server,
};

/// By what a variant's sessions are known, in the order in which the server prints their headers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    SteppedUp,
    LoggedIn,
    Jwt,
    TowerSessions,
    AxumLogin,
    SessionGuard,
}

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// In the tables.
    pub(crate) title: &'static str,
    path: &'static str,
    known: Known,
    status: u16,
}

/// The variants in the order of a round: what is compared most is side by side, and the two bare ones are far apart.
pub(crate) const VARIANTS: [Variant; 9] = [
    Variant::new("bare", "bare axum", "/bare", Known::SteppedUp),
    Variant::new("noop", "authentication + layer that does nothing", "/noop", Known::SteppedUp),
    Variant::new("guard", "authentication + `RequireStepUp`", "/guard", Known::SteppedUp),
    Variant { status: 403, ..Variant::new("refused", "the same, refused", "/guard", Known::LoggedIn) },
    Variant::new("jwt", "JWT, claims checked in `from_fn`", "/jwt", Known::Jwt),
    Variant::new("tower_sessions", "tower-sessions, stamp in `from_fn`", "/tower_sessions", Known::TowerSessions),
    Variant::new("session_guard", "session-guard `require_recent_auth`", "/session_guard", Known::SessionGuard),
    Variant::new("axum_login", "axum-login `login_required!`", "/axum_login", Known::AxumLogin),
    Variant::new("bare2", "bare axum, again", "/bare", Known::SteppedUp),
];

impl Variant {
    const fn new(name: &'static str, title: &'static str, path: &'static str, known: Known) -> Variant {
        Variant { name, title, path, known, status: 200 }
    }
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
    time: Duration,
}

impl Plan {
    pub(crate) const FULL: Plan = Plan { rounds: 20, time: Duration::from_secs(1) };
    pub(crate) const QUICK: Plan = Plan { rounds: 4, time: Duration::from_millis(300) };
    /// Before the clock is read, so that caches and branch predictors know the route.
    const WARM_UP: Duration = Duration::from_millis(100);
}

/// How many sessions there are, and how many of them are requested.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Hot,
    Rotating,
}

impl Mode {
    /// The number of sessions, and of those that are requested.
    const fn sessions(self) -> (usize, usize) {
        match self {
            Mode::Hot => (1_000, 1_000),
            Mode::Rotating => (200_000, 50_000),
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Mode::Hot => "1,000 sessions",
            Mode::Rotating => "200,000 sessions, requests rotating over 50,000",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Mode::Hot => "hot",
            Mode::Rotating => "rotating",
        }
    }
}

/// What one variant took in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Sample {
    /// Server CPU time of a request, in nanoseconds.
    pub(crate) fn nanos(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / requests(self)
    }

    pub(crate) fn per_second(&self) -> f64 {
        requests(self) / self.wall.as_secs_f64()
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn requests(sample: &Sample) -> f64 {
    sample.requests as f64
}

/// The samples of each variant, in the order of `VARIANTS`; those of one round have the same index.
pub(crate) type Rounds = [Vec<Sample>; VARIANTS.len()];

/// Starts a server and measures all variants in turn. Every other round goes backwards, so that a machine that gets
/// steadily slower or faster favors none.
pub(crate) fn measure(mode: Mode, plan: Plan) -> Rounds {
    let (sessions, used) = mode.sessions();
    eprintln!("{}: logging in", mode.title());
    let server = Server::start(sessions, used);
    // On a thread of its own, because the next server would inherit that it is pinned.
    thread::scope(|scope| scope.spawn(|| alternate(server, mode, plan)).join().expect("no request fails"))
}

fn alternate(mut server: Server, mode: Mode, plan: Plan) -> Rounds {
    machine::pin(machine::Side::Load);
    let mut load = Load::connect(server.port);
    let requests: Vec<_> = VARIANTS
        .iter()
        .map(|variant| load.prepare(variant.path, &server.headers[variant.known as usize], variant.status))
        .collect();
    let mut rounds: Rounds = Default::default();
    for round in 0..plan.rounds {
        eprintln!("{}: round {} of {}", mode.title(), round + 1, plan.rounds);
        let mut order: Vec<_> = (0..VARIANTS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for variant in order {
            rounds[variant].push(sample(&mut server, &mut load, &requests[variant], plan.time));
        }
    }
    rounds
}

fn sample(server: &mut Server, load: &mut Load, requests: &Requests, time: Duration) -> Sample {
    load.run(requests, Plan::WARM_UP);
    let (start, used) = (Instant::now(), server.cpu_time());
    let requests = load.run(requests, time);
    Sample { requests, cpu: server.cpu_time().saturating_sub(used), wall: start.elapsed() }
}

/// The server's process.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    port: u16,
    /// In the order of `Known`.
    headers: Vec<Vec<String>>,
}

impl Server {
    fn start(sessions: usize, used: usize) -> Server {
        let program = std::env::current_exe().unwrap();
        let arguments = [server::COMMAND, &sessions.to_string(), &used.to_string()];
        let mut command = Command::new(program);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || output.next().expect("the server runs").unwrap();
        let port = line().parse().unwrap();
        let mut headers = || {
            let mut headers: Vec<_> = (0..used).map(|_| line()).collect();
            random::shuffle(&mut headers);
            headers
        };
        let headers = (0..=Known::SessionGuard as usize).map(|_| headers()).collect();
        Server { child, input, output, port, headers }
    }

    fn cpu_time(&mut self) -> Duration {
        writeln!(self.input.as_mut().expect("open until it is dropped")).unwrap();
        let nanos = self.output.next().expect("the server runs").unwrap();
        Duration::from_nanos(nanos.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
