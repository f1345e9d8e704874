//! Tests that compare the rules of `pg_wire::session` with real servers. The tests send random sequences of legal and illegal messages, and
//! compare each reply of the server with the prediction of a `SessionState`, the model of the session.

mod checked;
mod sequence;
// The module also contains helpers for logins, which these tests do not use.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use checked::{Checked, Totals};
use sequence::{Action, actions, replication_actions};
use support::{Server, both};

/// Number of sequences for each server. The environment variable `PG_SESSION_CASES` sets another number.
const CASES: u32 = 1_500;

/// Runs random sequences against one server. The sequences share a session until the server closes the session. So each sequence also
/// checks that the previous sequence has left an idle session. `states` are the states that the sequences have to reach.
fn random_sequences(
    server: &Server,
    cases: u32,
    replication: bool,
    action: impl Strategy<Value = Action>,
    states: &[&str],
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let session: RefCell<Option<Checked>> = RefCell::new(None);
    let totals = RefCell::new(Totals::default());
    // The number of shrinking steps is small, because a sequence that hangs takes seconds.
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let result = TestRunner::new(config).run(&prop::collection::vec(action, 1..50), |sequence| {
        let mut session = session.borrow_mut();
        runtime.block_on(async {
            let mut checked = match session.take() {
                Some(checked) => checked,
                None => Checked::connect(server, replication).await,
            };
            if let Err(reason) = checked.run(&sequence).await {
                return Err(TestCaseError::fail(format!("{reason}\n{}", checked.log())));
            }
            totals.borrow_mut().add(&checked);
            *session = checked.is_alive().then_some(checked);
            Ok(())
        })
    });
    eprintln!("PostgreSQL {}: {:?}", server.major, totals.borrow());
    if let Err(error) = result {
        panic!("PostgreSQL {}: {error}", server.major);
    }
    totals.borrow().assert_seen(states);
}

fn cases() -> u32 {
    std::env::var("PG_SESSION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_model_agrees_with_the_server_on_random_sequences() {
    let states = [
        "uncertain",
        "skipping",
        "copy In",
        "copy Out",
        "waiting Reply",
        "waiting Nothing",
        "waiting Flush",
        "waiting Sync",
        "waiting CopyData",
        "fatal",
        "cancelled",
        "idle",
        "outstanding ReadyForQuery",
    ];
    for server in both() {
        random_sequences(&server, cases(), false, actions(), &states);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_model_agrees_with_the_server_on_random_sequences_with_replication() {
    let states = ["copy Both", "waiting Reply", "waiting Replication", "fatal", "idle"];
    for server in both() {
        random_sequences(&server, cases() / 5, true, replication_actions(), &states);
    }
}
