//! gRPC with other protocols: tonic's routes inside an axum router, and gRPC-Web.

use axum::{
    Router,
    extract::Request as HttpRequest,
    middleware::{Next, from_fn},
    response::Response as HttpResponse,
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    service::{InterceptorLayer, Routes},
    transport::{Server, server::TcpIncoming},
};
use tower_step_up::{Caller, RequireStepUp};

use crate::{
    alice, authenticate, by, connect,
    guard::{Service, note},
    kinds::{kinds_client::KindsClient, kinds_server::KindsServer},
    says, step_up, verify,
};

/// The response to a plain HTTP client: status, content type, headers and body.
async fn http(
    address: std::net::SocketAddr,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> (u16, String, http::HeaderMap, Bytes) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", content_type)
        .header("user", "alice")
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let declared = parts.headers["content-type"].to_str().unwrap().to_owned();
    (parts.status.as_u16(), declared, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn authenticate_http(mut request: HttpRequest, next: Next) -> HttpResponse {
    if let Some(user) = request.headers().get("user").map(|user| user.to_str().unwrap().to_owned()) {
        request.extensions_mut().insert(Caller::user(user).session("1"));
    }
    next.run(request).await
}

/// One guard around both kinds of routes: each client gets the refusal in its own protocol.
#[tokio::test]
async fn one_guard_negotiates_on_a_mixed_router() {
    let step_up = step_up();
    let service = Service::default();
    let tonic_routes = Routes::new(KindsServer::new(service.clone())).prepare().into_axum_router();
    let app = Router::new()
        .route("/transfers", post(async || "paid"))
        .merge(tonic_routes)
        .layer(RequireStepUp::new(&step_up))
        .nest_service("/stepup/challenges", step_up.challenges())
        .merge(Routes::new(step_up.grpc_challenges()).prepare().into_axum_router().reset_fallback())
        .layer(from_fn(authenticate_http));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = KindsClient::new(connect(address).await);
    let mut companion = crate::stepup::step_up_client::StepUpClient::new(connect(address).await);

    let required = (Code::PermissionDenied, "STEP_UP_REQUIRED".to_owned());
    assert_eq!(says(&client.unary(by("alice", note(""))).await.unwrap_err()), required);
    assert_eq!(says(&client.both(by("alice", tokio_stream::pending())).await.unwrap_err()), required);
    assert_eq!(says(&client.unary(note("")).await.unwrap_err()).0, Code::Unauthenticated);
    for (path, content_type) in [
        ("/transfers", "application/json"),
        ("/kinds.v1.Kinds/Unary", "application/json"),
        ("/kinds.v1.Kinds/Unary", "application/grpc-web+proto"),
        ("/kinds.v1.Kinds/Unary", "application/grpc-web-text"),
    ] {
        let (status, declared, _, body) = http(address, path, content_type, b"").await;
        assert_eq!((status, declared.as_str()), (403, "application/json"), "{path} {content_type}");
        assert!(body.starts_with(br#"{"errorCode":"STEP_UP_REQUIRED""#), "{path} {content_type}");
    }
    // A client that only claims to speak gRPC is refused as well.
    let (status, declared, headers, body) = http(address, "/transfers", "application/grpc", b"").await;
    assert_eq!(
        (status, declared.as_str(), &headers["grpc-status"], body.len()),
        (200, "application/grpc", &"7".parse().unwrap(), 0)
    );

    let start = crate::stepup::StartOtpRequest { channel: "SMS".into(), scope: None, binding: None };
    companion.start_otp(by("alice", start)).await.unwrap();
    let code = Some("123456".into());
    let channel = "SMS".into();
    let verify = crate::stepup::VerifyOtpRequest { channel, verification_code: code, scope: None, binding: None };
    companion.verify_otp(by("alice", verify)).await.unwrap();
    assert_eq!(client.unary(by("alice", note(""))).await.unwrap().into_inner().text, "SMS");
    let (status, _, _, body) = http(address, "/transfers", "application/json", b"").await;
    assert_eq!((status, &*body), (200, &b"paid"[..]));
    assert_eq!(service.calls(), 1);
}

/// With tonic-web outside, a browser's request reaches the guard as gRPC, and the refusal reaches the browser as
/// gRPC-Web.
#[tokio::test]
async fn grpc_web_is_translated_outside() {
    let step_up = step_up();
    let service = Service::default();
    let guard = RequireStepUp::new(&step_up).grpc();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .accept_http1(true)
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(InterceptorLayer::new(authenticate))
        .add_service(guard.layer(KindsServer::new(service.clone())));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let empty_message = [0; 5];
    let ask = || http(address, "/kinds.v1.Kinds/Unary", "application/grpc-web+proto", &empty_message);
    let (status, declared, headers, _) = ask().await;
    assert_eq!((status, declared.as_str()), (200, "application/grpc-web+proto"));
    let refused = Status::from_header_map(&headers).unwrap();
    assert_eq!(says(&refused), (Code::PermissionDenied, "STEP_UP_REQUIRED".into()));
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(service.calls(), 0);

    verify(&step_up, &alice()).await;
    let (status, _, _, body) = ask().await;
    assert_eq!(status, 200);
    assert!(body.windows(3).any(|window| window == b"SMS"), "{body:?}");
    assert!(body.windows(13).any(|window| window == b"grpc-status:0"), "{body:?}");
}
