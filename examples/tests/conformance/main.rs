//! One suite of tests for all runtimes of both adapters: Tokio, smol and async-std.
//!
//! Each test body runs with each runtime, against PostgreSQL 15 and 18, over TCP, over a Unix-domain socket and over TLS. A body returns
//! the replies, errors and states that it has seen. The test fails if two runtimes return different results.
//!
//! The test `misbehaving` uses the same runtimes with clients and servers that break the protocol before the login is complete.

// Some of the tests connect by a Unix-domain socket.
#![cfg(unix)]

mod adapters;
mod calls;
mod copying;
mod dropping;
mod establishing;
mod polls;
mod reading;
mod relay;
mod scripted;
// The helpers that run programs are unused in this test.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
mod ways;

use std::fmt::Debug;

use adapters::{Adapter, AsyncStd, Smol, Tokio};
use reading::Log;
use ways::Way;

/// Compares two results of the same test body, each from a different runtime. Panics at the first line that differs.
#[track_caller]
fn compare(way: &impl Debug, (first, expected): (&str, &Log), (other, found): (&str, &Log)) {
    let length = expected.len().max(found.len());
    for line in 0..length {
        let (expected, found) = (expected.get(line), found.get(line));
        assert!(expected == found, "{way:?}, line {line}\n{first}: {expected:?}\n{other}: {found:?}");
    }
}

/// Defines a test function for each test body. The test runs the body with all runtimes, and compares the results.
macro_rules! tests {
    ($($module:ident::$body:ident,)*) => {$(
        #[test]
        #[ignore = "needs servers: cargo xtask test"]
        fn $body() {
            for way in Way::all() {
                let expected = Tokio::run($module::$body::<Tokio>(&way));
                assert!(!expected.is_empty());
                let smol = Smol::run($module::$body::<Smol>(&way));
                compare(&way, (Tokio::NAME, &expected), (Smol::NAME, &smol));
                let async_std = AsyncStd::run($module::$body::<AsyncStd>(&way));
                compare(&way, (Tokio::NAME, &expected), (AsyncStd::NAME, &async_std));
            }
        }
    )*};
}

tests! {
    calls::every_request,
    calls::every_call_of_a_connection,
    calls::every_call_of_the_halves,
    calls::every_call_of_a_tracked_connection,
    dropping::each_future_of_a_tracked_connection,
    dropping::a_recovery,
    dropping::each_call_of_a_connection,
    dropping::a_close,
    dropping::a_partly_sent_pipeline,
    copying::copy_in_with_dropped_futures,
    copying::copy_out_with_dropped_futures,
    establishing::every_way_to_connect,
    establishing::every_error_of_a_connection_attempt,
    establishing::a_dropped_connection_attempt,
    establishing::a_cancel_request,
    establishing::accepted_clients,
    establishing::notifications,
}

#[test]
fn misbehaving_servers_have_the_same_outcome_in_each_adapter() {
    let expected = Tokio::run(scripted::servers_that_misbehave_after_the_login::<Tokio>());
    let smol = Smol::run(scripted::servers_that_misbehave_after_the_login::<Smol>());
    compare(&"a script", (Tokio::NAME, &expected), (Smol::NAME, &smol));
    let async_std = AsyncStd::run(scripted::servers_that_misbehave_after_the_login::<AsyncStd>());
    compare(&"a script", (Tokio::NAME, &expected), (AsyncStd::NAME, &async_std));
}
