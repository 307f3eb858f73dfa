//! The load: HTTP/1.1 over loopback on connections that are kept alive, one request in flight on each.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};

const CONNECTIONS: usize = 32;

/// Connections to the server, and what drives them.
pub(crate) struct Load {
    runtime: Runtime,
    connections: Vec<TcpStream>,
}

/// The requests of one variant, which are sent in turn over and over, and what each response must be.
pub(crate) struct Requests {
    bytes: Vec<Box<[u8]>>,
    next: Cell<usize>,
    status: [u8; 3],
    length: usize,
}

impl Load {
    pub(crate) fn connect(port: u16) -> Load {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async || {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        let connections = runtime.block_on(join_all((0..CONNECTIONS).map(|_| connect())));
        Load { runtime, connections }
    }

    /// Requests for the path with each of the headers, in that order. Sends the first to learn how long responses are.
    pub(crate) fn prepare(&mut self, path: &str, headers: &[String], status: u16) -> Requests {
        let bytes = |header| format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{header}\r\n\r\n").into_bytes().into();
        let bytes: Vec<Box<[u8]>> = headers.iter().map(bytes).collect();
        let [a, b, c] = *status.to_string().as_bytes() else { panic!("a status has three digits") };
        let stream = &mut self.connections[0];
        let length = self.runtime.block_on(async {
            stream.write_all(&bytes[0]).await.unwrap();
            let mut response = Vec::new();
            loop {
                assert_ne!(stream.read_buf(&mut response).await.unwrap(), 0, "the server has closed the connection");
                if let Some(length) = length(&response)
                    && length == response.len()
                {
                    break length;
                }
            }
        });
        Requests { bytes, next: Cell::new(0), status: [a, b, c], length }
    }

    /// Sends requests for some time, and returns their number when all are answered.
    pub(crate) fn run(&mut self, requests: &Requests, time: Duration) -> u64 {
        let until = Instant::now() + time;
        let connections = self.connections.iter_mut().map(|stream| drive(stream, requests, until));
        self.runtime.block_on(join_all(connections)).into_iter().sum()
    }
}

/// Sends one request after the other until the time is over.
async fn drive(stream: &mut TcpStream, requests: &Requests, until: Instant) -> u64 {
    let mut buffer = [0; 4096];
    let mut served = 0;
    while Instant::now() < until {
        let index = requests.next.get();
        requests.next.set((index + 1) % requests.bytes.len());
        stream.write_all(&requests.bytes[index]).await.unwrap();
        let mut filled = 0;
        while filled < requests.length {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert_ne!(read, 0, "the server has closed the connection");
            filled += read;
        }
        // Of another length if a route sets a cookie, say: then it is not the same work.
        assert_eq!(filled, requests.length, "{}", String::from_utf8_lossy(&buffer[..filled]));
        assert_eq!(buffer[9..12], requests.status, "{}", String::from_utf8_lossy(&buffer[..filled]));
        served += 1;
    }
    served
}

/// How long a response is, once its headers are there.
fn length(response: &[u8]) -> Option<usize> {
    let head = str::from_utf8(response).ok()?.split_once("\r\n\r\n")?.0;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, body) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    Some(head.len() + 4 + body.parse::<usize>().ok()?)
}
