//! A proxy between an app and its server, which can delay packets, lose a response, and switch to another server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    time::sleep,
};

#[derive(Clone)]
pub(crate) struct Proxy(Arc<State>);

struct State {
    port: u16,
    target: AtomicU16,
    delay_millis: AtomicU64,
    /// The number of scripts until the response to one is lost, including that one; 0 loses none.
    scripts_to_loss: AtomicU32,
    lost: AtomicU32,
    /// Whether a connection that has lost a response is kept open.
    held: watch::Sender<bool>,
    /// Changes to close every connection.
    cut: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            port,
            target: target.into(),
            delay_millis: 0.into(),
            scripts_to_loss: 0.into(),
            lost: 0.into(),
            held: watch::Sender::new(false),
            cut: watch::Sender::new(0),
        };
        let proxy = Self(Arc::new(state));
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().connect(client));
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.0.port)
    }

    /// Delays every packet from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.delay_millis.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The `nth` script from now reaches the server, which runs it; its response and the connection are lost.
    pub(crate) fn lose_response_to_script(&self, nth: u32) {
        self.0.scripts_to_loss.store(nth, Ordering::SeqCst);
    }

    /// Keeps connections that lose a response open, or closes them.
    pub(crate) fn hold(&self, held: bool) {
        self.0.held.send_replace(held);
    }

    /// Number of lost responses.
    pub(crate) fn lost(&self) -> u32 {
        self.0.lost.load(Ordering::SeqCst)
    }

    /// Whether the response to one of these requests must be lost.
    fn is_to_be_lost(&self, requests: &[u8]) -> bool {
        let scripts = requests.windows(7).filter(|window| window == b"EVALSHA").count();
        let left = &self.0.scripts_to_loss;
        (0..scripts).any(|_| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1))
    }

    /// Switches to another server; open connections are closed.
    pub(crate) fn switch_to(&self, target: u16) {
        self.0.target.store(target, Ordering::SeqCst);
        self.0.cut.send_modify(|cut| *cut += 1);
    }

    async fn connect(self, mut client: TcpStream) {
        let mut cut = self.0.cut.subscribe();
        cut.mark_unchanged();
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", self.0.target.load(Ordering::SeqCst))).await else {
            return;
        };
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let loses = AtomicBool::new(false);
        let request = |requests: &[u8]| {
            loses.fetch_or(self.is_to_be_lost(requests), Ordering::SeqCst);
            true
        };
        let answer = |_: &[u8]| {
            let loses = loses.load(Ordering::SeqCst);
            self.0.lost.fetch_add(loses.into(), Ordering::SeqCst);
            !loses
        };
        tokio::select! {
            () = self.forward(from_client, to_server, request) => {}
            () = self.forward(from_server, to_client, answer) => {}
            _ = cut.changed() => {}
        }
        if loses.into_inner() {
            let _ = self.0.held.subscribe().wait_for(|held| !held).await;
        }
    }

    /// Forwards while `goes_on` returns true for the received bytes.
    async fn forward(&self, mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>, goes_on: impl Fn(&[u8]) -> bool) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            sleep(Duration::from_millis(self.0.delay_millis.load(Ordering::SeqCst))).await;
            if !goes_on(&buffer[..read]) || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
