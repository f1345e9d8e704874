//! State that all clients share.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pg_auth::scram::{Nonce, Verifier};
use pg_auth::{Credentials, Startup};
use pg_stream_tokio::CancelKey;
use pg_wire::frontend::ProtocolVersion;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::pool::{Pool, Seat};

/// State that all clients share.
pub(crate) struct Pooler {
    /// Address of the server.
    pub(crate) upstream: String,
    pool_size: usize,
    reserve_timeout: Duration,
    verifiers: HashMap<String, Verifier>,
    /// Secret from which the salts for unknown users are derived. Like a known user, an unknown user gets the same salt at each login, so
    /// that a client cannot find out which users exist.
    secret: Nonce,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The pools of server connections, by user and database.
    pools: HashMap<(String, String), Arc<Pool>>,
    /// Connected clients. The key is the process id in the BackendKeyData that the pooler has sent to the client; a cancel request contains
    /// this process id.
    seats: HashMap<i32, Arc<Seat>>,
    last_pid: i32,
}

impl Pooler {
    pub(crate) fn new(arguments: &Arguments) -> io::Result<Self> {
        Ok(Self {
            upstream: arguments.upstream.clone(),
            pool_size: arguments.pool_size.get(),
            reserve_timeout: Duration::from_secs(arguments.reserve_timeout),
            verifiers: read_users(&std::fs::read_to_string(&arguments.users)?)?,
            secret: Nonce::random().map_err(io::Error::other)?,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the credentials with which a client is authenticated. An unknown user receives the same messages as a known user with an
    /// incorrect password, so that a client cannot find out which users exist.
    pub(crate) fn credentials(&self, startup: &Startup) -> Credentials {
        let user = startup.user();
        let verifier = user.to_str().ok().and_then(|user| self.verifiers.get(user));
        match verifier {
            Some(verifier) => Credentials::Scram(verifier.clone()),
            None => Credentials::unknown(self.secret.as_str().as_bytes(), user.as_bytes()),
        }
    }

    /// Returns the pool of server connections for a user and a database.
    pub(crate) fn pool(&self, user: &str, database: &str) -> Arc<Pool> {
        let mut state = self.state();
        let pool = state.pools.entry((user.into(), database.into()));
        Arc::clone(pool.or_insert_with(|| Arc::new(Pool::new(user, database, self.pool_size))))
    }

    /// Registers a new client, with a key for its cancel requests.
    pub(crate) fn seat(&self, version: ProtocolVersion) -> Result<Arc<Seat>, Failure> {
        let mut state = self.state();
        while {
            state.last_pid = state.last_pid.checked_add(1).unwrap_or(1);
            state.seats.contains_key(&state.last_pid)
        } {}
        let pid = state.last_pid;
        let key = CancelKey::random(pid, version).map_err(|error| Failure::Unsupported(error.to_string()))?;
        let seat = Seat::new(key);
        state.seats.insert(pid, Arc::clone(&seat));
        Ok(seat)
    }

    pub(crate) fn forget(&self, seat: &Seat) {
        self.state().seats.remove(&seat.key.pid());
    }

    /// Finds the client with this key, and sends a cancel request to the server for the connection that the client uses.
    pub(crate) async fn cancel(&self, key: &CancelKey) {
        let seat = self.state().seats.get(&key.pid()).filter(|seat| seat.key == *key).cloned();
        if let Some(seat) = seat {
            seat.cancel(self).await;
        }
    }

    /// Returns an error to the clients that have waited too long for a server connection. The caller calls this function every second.
    pub(crate) fn expire(&self) {
        let pools: Vec<_> = self.state().pools.values().cloned().collect();
        for pool in pools {
            pool.expire(self.reserve_timeout);
        }
    }
}

/// Reads a file of users. Each line is a name, a colon, and the verifier as in `pg_authid.rolpassword`.
fn read_users(text: &str) -> io::Result<HashMap<String, Verifier>> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let read = || {
            let at = line.find(":SCRAM-SHA-256$")?;
            let (user, verifier) = line.split_at(at);
            Some((user.to_owned(), verifier.get(1..)?.parse().ok()?))
        };
        let malformed =
            || io::Error::other(format!("line {} of the users is not NAME:SCRAM-SHA-256$…", number + 1));
        users.extend([read().ok_or_else(malformed)?]);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::read_users;

    #[test]
    fn users_are_read_and_a_malformed_line_is_named() {
        let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
            WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let users = read_users(&format!("alice:{verifier}\n\na:b:{verifier}\n")).expect("two users");
        assert!(users.contains_key("alice") && users.contains_key("a:b"));
        let error = read_users(&format!("alice:{verifier}\nbob:secret\n")).expect_err("no verifier");
        assert!(error.to_string().starts_with("line 2 "), "{error}");
    }
}
