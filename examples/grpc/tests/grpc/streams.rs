use tonic::{
    Code, Request, Status, Streaming,
    service::{InterceptorLayer, Routes, interceptor::InterceptedService},
};
use tonic_types::StatusExt;
use tower::Layer;

use self::example::bank::{Payment, WatchRequest, payments_client::PaymentsClient};
use crate::stepup::{DropRequest, StartOtpRequest, VerifyOtpRequest, step_up_client::StepUpClient};

#[path = "../../tonic/main.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

type Identify = fn(Request<()>) -> Result<Request<()>, Status>;

/// The example's services without a socket, so that time can be paused.
fn app() -> InterceptedService<Routes, Identify> {
    let identify: Identify = example::identify;
    InterceptorLayer::new(identify).layer(example::routes().unwrap().prepare())
}

fn of<T>(session: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {session}").parse().unwrap());
    request
}

async fn watch(app: &InterceptedService<Routes, Identify>, session: &str) -> Result<Streaming<Payment>, Status> {
    let watched = PaymentsClient::new(app.clone()).watch(of(session, WatchRequest {})).await;
    watched.map(tonic::Response::into_inner)
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_step_up_that_opened_it() {
    let app = app();
    let refused = watch(&app, "alice-1").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "STEP_UP_REQUIRED"));

    let mut step_up = StepUpClient::new(app.clone());
    let start = StartOtpRequest { channel: "SMS".into(), scope: None, binding: None };
    step_up.start_otp(of("alice-1", start)).await.unwrap();
    let verify = VerifyOtpRequest {
        channel: "SMS".into(),
        verification_code: Some("123456".into()),
        ..VerifyOtpRequest::default()
    };
    step_up.verify_otp(of("alice-1", verify)).await.unwrap();
    assert_eq!(watch(&app, "alice-2").await.unwrap_err().code(), Code::PermissionDenied);

    let mut payments = watch(&app, "alice-1").await.unwrap();
    for number in 1..=10 {
        assert_eq!(payments.message().await.unwrap().unwrap().number, number);
    }
    step_up.drop(of("alice-1", DropRequest {})).await.unwrap();
    let end = loop {
        match payments.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if there were no more"),
            Err(status) => break status,
        }
    };
    assert_eq!((end.code(), end.message()), (Code::PermissionDenied, "STEP_UP_REQUIRED"));
    let info = end.get_details_error_info().unwrap();
    assert_eq!(
        (&*info.reason, &*info.domain, &*info.metadata["reason"]),
        ("STEP_UP_REQUIRED", "bank.example", "missing")
    );
    assert_eq!(watch(&app, "alice-1").await.unwrap_err().code(), Code::PermissionDenied);
}
