//! Services with bodies that a guard cannot build, each passed to a server.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_step_up::{Binding, RequireStepUp, StepUp};

/// tonic's body is not `From<Bytes>`.
async fn tonic(_: Request<()>) -> Result<Response<tonic::body::Body>, Infallible> {
    Ok(Response::default())
}

/// A custom body.
struct Other(&'static str);

async fn other(_: Request<()>) -> Result<Response<Other>, Infallible> {
    Ok(Response::new(Other("")))
}

/// A request body that cannot be rebuilt from its bytes.
async fn asked_by_tonic(_: Request<tonic::body::Body>) -> Result<Response<Bytes>, Infallible> {
    Ok(Response::default())
}

fn serve<S: Service<Request<()>>>(_: S) {}

fn serve_tonic<S: Service<Request<tonic::body::Body>>>(_: S) {}

fn main() {
    let step_up = StepUp::builder().otp("SMS", async |_| Ok(())).build().unwrap();
    let guard = RequireStepUp::new(&step_up);

    serve(guard.clone().layer(service_fn(tonic)));
    serve(guard.clone().grpc().layer(service_fn(tonic)));

    serve(guard.clone().layer(service_fn(other)));
    serve(guard.clone().grpc().layer(service_fn(other)));
    serve(guard.clone().with_refusal_response(|_, _: &_, _: &_| Response::new(Other("refused"))).layer(service_fn(other)));

    let binding = Binding::new(Binding::uri_as_received, |_, _| None);
    serve_tonic(guard.clone().layer(service_fn(asked_by_tonic)));
    serve_tonic(guard.bind(binding).layer(service_fn(asked_by_tonic)));
}
