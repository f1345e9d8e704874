//! The rules of `pg_wire::session`, compared with real servers: random sequences of legal and illegal messages are sent, and each reply
//! of the server is compared with the answers of the model.

mod checked;
mod sequence;
// The helpers for logins are unused in this test.
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use checked::Checked;
use sequence::{Action, actions};
use support::{Server, both};

/// Number of sequences for each server. The environment variable `PG_SESSION_CASES` sets another number.
const CASES: u32 = 1_500;

/// Runs random sequences against one server. The sequences share a session until the server closes it. So each sequence also checks that
/// the previous sequence has left an idle session.
fn random_sequences(server: &Server, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let session: RefCell<Option<Checked>> = RefCell::new(None);
    let mut totals = checked::Totals::default();
    let config = Config {
        cases,
        failure_persistence: None,
        // Low, because a sequence that hangs takes seconds.
        max_shrink_iters: 300,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let totals_cell = RefCell::new(&mut totals);
    let result = runner.run(&prop::collection::vec(actions(), 1..50), |sequence: Vec<Action>| {
        let mut session = session.borrow_mut();
        runtime.block_on(async {
            let mut checked = match session.take() {
                Some(checked) => checked,
                None => Checked::connect(server).await,
            };
            match checked.run(&sequence).await {
                Ok(()) => {
                    totals_cell.borrow_mut().add(&checked);
                    if checked.is_alive() {
                        *session = Some(checked);
                    }
                    Ok(())
                }
                Err(reason) => Err(TestCaseError::fail(format!("{reason}\n{}", checked.log()))),
            }
        })
    });
    eprintln!("PostgreSQL {}: {totals:?}", server.major);
    if let Err(error) = result {
        panic!("PostgreSQL {}: {error}", server.major);
    }
    totals.assert_all_seen();
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_model_agrees_with_the_server_on_random_sequences() {
    let cases = std::env::var("PG_SESSION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    for server in both() {
        random_sequences(&server, cases);
    }
}
