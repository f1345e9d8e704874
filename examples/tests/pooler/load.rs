//! Measures the memory of the pooler with many idle clients.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::lab::{Lab, Peer};

/// Number of idle clients that the test connects.
const CLIENTS: usize = 5000;

/// Maximum memory that the pooler may take for one idle client, in bytes.
const MOST: u64 = 16 * 1024;

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn an_idle_client_takes_little_memory() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit can be raised to the maximum");
    let [_, lab] = Lab::both(&[]).await;
    let mut first = lab.client().await;
    first.rows("select 1").await;
    let before = lab.memory();
    // All clients share this cache, so the SCRAM keys are derived only once.
    let cache = pg_auth::scram::KeyCache::default();
    let config = crate::lab::config(lab.address, "scram", "scram-secret").scram_cache(&cache);
    let mut clients = Vec::with_capacity(CLIENTS);
    for n in 0..CLIENTS {
        let (conn, session) =
            pg_stream_tokio::connect(&config).await.expect("the pooler accepts the password");
        let mut client = Peer { conn, session };
        if n % 10 == 0 {
            assert_eq!(client.value("select 1").await, "1");
        }
        clients.push(client);
    }
    let each = (lab.memory() - before) / CLIENTS as u64;
    println!("an idle client takes {each} bytes");
    assert!(each <= MOST, "{each} bytes");
    let last = clients.last_mut().expect("there are clients");
    assert_eq!(last.value("select 'fine'").await, "fine");
}
