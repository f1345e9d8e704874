//! Prepared statements of the clients. Each statement has the same name on every server connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of a statement that does not exist on any server connection.
pub(crate) const MISSING: &str = "pooler_missing";

/// Returns the name that the statement with this id has on the server connections.
pub(crate) fn statement_name(id: u64) -> String {
    format!("pooler_{id}")
}

/// A prepared statement. All clients that prepare the same SQL with the same parameter types share one `Statement`.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) id: u64,
    /// Name of the statement on the server connections.
    pub(crate) name: String,
    /// Body of the Parse message after the statement name: the SQL, and the types of the parameters.
    pub(crate) body: Arc<[u8]>,
}

/// The prepared statements that the clients of a pool have used.
#[derive(Debug, Default)]
pub(crate) struct Statements(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashMap<Arc<[u8]>, Arc<Statement>>,
    /// Id of the statement that was made last. An id is never used again, because a server connection may still have a statement that no
    /// client uses any more.
    last: u64,
}

impl Statements {
    /// Returns the statement with this Parse body. Makes the statement if the pool does not have it.
    pub(crate) fn intern(&self, body: &[u8]) -> Arc<Statement> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = known.all.get(body) {
            return Arc::clone(statement);
        }
        if known.all.len() == known.all.capacity() {
            known.all.retain(|_, statement| Arc::strong_count(statement) > 1);
        }
        known.last += 1;
        let (id, body) = (known.last, Arc::from(body));
        let statement = Arc::new(Statement { id, name: statement_name(id), body: Arc::clone(&body) });
        known.all.insert(body, Arc::clone(&statement));
        statement
    }
}
