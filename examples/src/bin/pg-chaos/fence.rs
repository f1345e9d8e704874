//! The look-up that decides whether a transaction with an unclear outcome was committed.
//!
//! After a connection is lost, its last messages may still be in a buffer of a proxy or of the server, and the server may execute them
//! later. So a client that finds no rows cannot conclude that the transaction will never commit. For this reason, each client has a row
//! with an epoch in the table `chaos_fence`. Each transaction first locks this row, and fails if the epoch is not the client's current
//! epoch. A look-up first increments the epoch. The increment waits until no transaction holds the lock. So after the look-up, no earlier
//! transaction of the client can commit.

use crate::Result;
use crate::direct::Database;

/// Creates the tables, with a row in `chaos_fence` for each client. The table `chaos_rows` has no unique constraint. With such a
/// constraint, the server would reject the duplicate rows that this program must detect.
pub(crate) async fn prepare(database: &Database, clients: i32) -> Result<()> {
    let sql = format!(
        "DROP TABLE IF EXISTS chaos_rows, chaos_fence;
         CREATE TABLE chaos_rows (client int NOT NULL, key bigint NOT NULL, row int NOT NULL, body text NOT NULL);
         CREATE INDEX ON chaos_rows (client, key);
         CREATE TABLE chaos_fence (client int PRIMARY KEY, epoch bigint NOT NULL);
         INSERT INTO chaos_fence SELECT g, 0 FROM generate_series(0, {clients} - 1) g;"
    );
    database.sql(&sql).await.map(drop)
}

/// Returns the first statement of each transaction. The statement fails with a division by zero if `epoch` is not the current epoch of the
/// client.
pub(crate) fn hold(client: i32, epoch: i64) -> String {
    format!(
        "SELECT 1 / count(*) FROM (SELECT 1 FROM chaos_fence WHERE client = {client} AND epoch = {epoch} FOR UPDATE) AS held"
    )
}

/// Returns the statement that increments the epoch. The result of the statement is the new epoch.
pub(crate) fn advance(client: i32) -> String {
    format!("UPDATE chaos_fence SET epoch = epoch + 1 WHERE client = {client} RETURNING epoch")
}

/// Returns the statement that counts the rows of a transaction.
pub(crate) fn look_up(client: i32, key: i64) -> String {
    format!("SELECT count(*) FROM chaos_rows WHERE client = {client} AND key = {key}")
}
