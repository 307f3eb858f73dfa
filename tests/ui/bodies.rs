//! Services whose bodies a guard cannot build, each where a server asks for a service.

use std::convert::Infallible;

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_step_up::{RequireStepUp, StepUp};

/// tonic's body is not made of bytes.
async fn tonic(_: Request<()>) -> Result<Response<tonic::body::Body>, Infallible> {
    Ok(Response::default())
}

/// A body of nobody else's.
struct Other(&'static str);

async fn other(_: Request<()>) -> Result<Response<Other>, Infallible> {
    Ok(Response::new(Other("")))
}

fn serve<S: Service<Request<()>>>(_: S) {}

fn main() {
    let step_up = StepUp::builder().otp("SMS", tower_step_up::discard).build().unwrap();
    let guard = RequireStepUp::new(&step_up);

    serve(guard.clone().layer(service_fn(tonic)));
    serve(guard.clone().grpc().layer(service_fn(tonic)));

    serve(guard.clone().layer(service_fn(other)));
    serve(guard.clone().grpc().layer(service_fn(other)));
    serve(guard.refuse_with(|_, _: &_, _: &_| Response::new(Other("refused"))).layer(service_fn(other)));
}
