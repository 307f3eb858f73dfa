//! One behaviour on every host, over real sockets. Each row of the table below is a function in `behaviour.rs`, and runs
//! on each host of `host.rs`: a host more is an entry in `Host`, and one in `hosts!`.

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
    the_guard_outside_of_what_authenticates_refuses_everybody
    a_guard_around_everything_covers_fallbacks_and_the_companion
    a_guard_that_is_layered_again_shares_its_state
    what_was_added_later_is_open
    spellings_and_methods_never_reach_what_is_guarded
    headers_that_override_the_method_or_the_path_do_not_count
    only_the_one_source_of_identity_counts
    a_hundred_wrong_guesses_at_once_lock_the_user
    a_hundred_cancelled_guesses_lock_the_user
}
