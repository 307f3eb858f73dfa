//! The same behaviour on every host, over real sockets. Each row of the table below is a function in `behaviour.rs`,
//! run on each host of `host.rs`. A new host is an entry in `Host` and one in `hosts!`.

mod behaviour;
mod client;
mod host;
mod hyper_host;
mod slow;
mod tonic_host;

macro_rules! hosts {
    ($row:ident: $($name:ident = $host:ident),+ $(,)?) => {
        mod $row {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::behaviour::$row(crate::host::Host::$host).await;
                }
            )+
        }
    };
}

macro_rules! table {
    ($($row:ident)+) => {
        $(hosts! { $row:
            axum_http1 = AxumHttp1,
            axum_http2 = AxumHttp2,
            hyper_http1 = HyperHttp1,
            hyper_http2 = HyperHttp2,
            tonic_in_axum = TonicInAxum,
            tonic = Tonic,
        })+
    };
}

table! {
    refused_started_verified_passed_and_dropped
    a_guard_outside_the_authentication_refuses_every_request
    a_guard_around_everything_covers_fallbacks_and_challenge_endpoints
    a_guard_applied_again_shares_its_state
    routes_added_later_are_open
    spellings_and_methods_never_bypass_the_guard
    headers_that_override_the_method_or_the_path_do_not_count
    only_the_configured_source_of_identity_counts
    a_hundred_concurrent_wrong_codes_lock_the_user
    a_hundred_cancelled_attempts_lock_the_user
}
