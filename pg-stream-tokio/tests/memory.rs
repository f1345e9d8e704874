//! Tests that no secret stays in the process's memory after `connect` and `accept`. Each call succeeds, or fails because of a wrong
//! password, or ends because its future is dropped after some number of polls. Keys are derived on Tokio's threads. The client and the
//! server run as tasks, whose memory Tokio frees.
#![cfg(target_os = "linux")]

#[path = "../../pg-auth/tests/support/search.rs"]
mod search;

use std::num::NonZeroU32;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use pg_auth::accept::welcome;
use pg_auth::scram::Verifier;
use pg_auth::{Config, Credentials, Host, Password, StoredPassword};
use pg_stream_tokio::{Acceptor, connect};
use search::{MASK, Needle, found, masked};
use tokio::net::UnixListener;

/// Returns one byte of the password. The test binary must not contain the whole password, because the search would find this copy.
fn letter(at: usize) -> u8 {
    let lower = b"qzjxkvbpygfwmucldrhsnioate".get(at % 26).copied().unwrap_or_default();
    if at.is_multiple_of(2) { lower.to_ascii_uppercase() } else { lower }
}

const LENGTH: usize = 22;

fn password(right: bool) -> Password {
    let mut bytes = Vec::with_capacity(LENGTH + 1);
    bytes.extend((0..LENGTH).map(letter));
    bytes.extend((!right).then_some(b'!'));
    Password::from(bytes)
}

fn verifier() -> Verifier {
    let iterations = NonZeroU32::new(16).expect("the number is not zero");
    Verifier::new(&password(true), b"0123456789abcdef".to_vec(), iterations)
}

fn needles() -> Vec<Needle> {
    let salted = verifier().derivation(&password(true)).run();
    vec![
        ("half of the password", (0..LENGTH / 2).map(|at| letter(at) ^ MASK).collect()),
        ("salted password", masked(salted.as_bytes())),
        ("client key", masked(salted.client_key().as_bytes())),
    ]
}

/// Polls a future at most `patience` times, then drops the future.
async fn polled<F: Future>(future: F, patience: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        if polls > patience {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Runs one login, with a task for the client and a task for the server. Returns whether the client has logged in.
async fn login(directory: &Path, scram: bool, right: bool, polls: [usize; 2]) -> bool {
    let socket = directory.join(".s.PGSQL.5432");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let credentials = async |_| match scram {
            true => Credentials::Scram(verifier()),
            false => Credentials::Cleartext(StoredPassword::Plain(password(true))),
        };
        if let Some(Ok((mut conn, _))) = polled(Acceptor::new().accept(stream, credentials), polls[1]).await {
            welcome([], None, conn.outbox_mut());
            let _ = conn.flush().await;
        }
    });
    let host = Host::new(directory.to_str().expect("the text is UTF-8"), 5432);
    let client = tokio::spawn(async move {
        let config = Config::new("alice").host(host).password(password(right));
        matches!(polled(connect(&config), polls[0]).await, Some(Ok(_)))
    });
    let is_in = client.await.expect("no panic");
    // If the client was dropped before it connected, the server is waiting for a client. In this case, this connection ends the wait.
    drop(std::os::unix::net::UnixStream::connect(&socket));
    server.await.expect("no panic");
    is_in
}

#[test]
fn no_secret_stays_in_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let needles = needles();
    let mut window = vec![0; 1 << 20];
    assert_eq!(found(&needles, &mut window), [""; 0], "the test itself leaves none");
    let there = password(true);
    assert_eq!(found(&needles, &mut window).len(), 1, "a password that is there is found");
    drop(there);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut look = |scram, right, polls| {
        let is_in = runtime.block_on(login(directory.path(), scram, right, polls));
        assert_eq!(found(&needles, &mut window), [""; 0], "SCRAM {scram}, right {right}, polls {polls:?}");
        is_in
    };
    const ALL: usize = usize::MAX;
    for scram in [false, true] {
        assert!(look(scram, true, [ALL, ALL]));
        assert!(!look(scram, false, [ALL, ALL]));
        // A login takes fewer than 20 polls. The exact number depends on the bytes that each read returns.
        for polls in 0..20 {
            look(scram, true, [polls, ALL]);
            look(scram, true, [ALL, polls]);
        }
    }
}
