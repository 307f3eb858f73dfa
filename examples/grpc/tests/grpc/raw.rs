//! Requests that no generated client sends, over plain HTTP/2: each refusal has its `ErrorInfo`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::{Code, Status, service::Routes};

use crate::{says, serve_at, step_up};

/// A message with its prefix: the compression flag and the length.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

#[tokio::test]
async fn every_refusal_has_its_error_info() {
    let address = serve_at(Routes::new(step_up().grpc_challenges())).await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let call = async |method: &str, encoding: &str, body: Vec<u8>| {
        let request = http::Request::post(format!("http://{address}/stepup.v1.StepUp/{method}"))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", encoding)
            .header("te", "trailers")
            .header("user", "alice");
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.clone().send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Status::from_header_map(answer.headers()).unwrap()
    };
    let channel = [b"\x0a\x03SMS".as_slice(), b"\xff\xff\xff"].concat();
    let invalid = || (Code::InvalidArgument, "INVALID_REQUEST".to_owned());
    for (what, body) in [
        ("no protobuf", framed(0, b"\xff\xff\xff")),
        ("protobuf that breaks off", framed(0, &channel)),
        ("no frame", b"\xff\xff\xff".to_vec()),
        ("no frame that is known", framed(7, b"")),
        ("nothing", Vec::new()),
        ("less than the length that is named", framed(0, b"\x0a\x03SMS")[..8].to_vec()),
        ("compressed, and not said how", framed(1, b"\x0a\x03SMS")),
    ] {
        for method in ["StartOtp", "VerifyOtp", "StartPush", "PushStatus", "Status", "Drop"] {
            let refused = call(method, "identity", body.clone()).await;
            assert_eq!((says(&refused), refused.message()), (invalid(), "Invalid request"), "{method}: {what}");
        }
    }
    let not_utf8 = call("StartOtp", "identity", framed(0, b"\x0a\x01\xff")).await;
    assert_eq!((says(&not_utf8), not_utf8.message()), (invalid(), "Invalid request"));
    let unimplemented = (Code::Unimplemented, "UNIMPLEMENTED".to_owned());
    assert_eq!(says(&call("StartOtp", "gzip", framed(1, b"")).await), unimplemented);
    assert_eq!(says(&call("Nothing", "identity", framed(0, b"")).await), unimplemented);
}
