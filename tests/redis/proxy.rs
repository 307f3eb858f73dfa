//! The network between an app and its server: it may be slow, and lead elsewhere from now on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
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
    /// Changes when every connection is to be cut.
    cut: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { port, target: target.into(), delay_millis: 0.into(), cut: watch::Sender::new(0) };
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

    /// Every packet comes so much later from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.delay_millis.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Leads to another server; what is connected is cut.
    pub(crate) fn lead_to(&self, target: u16) {
        self.0.target.store(target, Ordering::SeqCst);
        self.0.cut.send_modify(|cut| *cut += 1);
    }

    async fn connect(self, client: TcpStream) {
        let mut cut = self.0.cut.subscribe();
        cut.mark_unchanged();
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.0.target.load(Ordering::SeqCst))).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = self.forward(from_client, to_server) => {}
            () = self.forward(from_server, to_client) => {}
            _ = cut.changed() => {}
        }
    }

    async fn forward(&self, mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            sleep(Duration::from_millis(self.0.delay_millis.load(Ordering::SeqCst))).await;
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
