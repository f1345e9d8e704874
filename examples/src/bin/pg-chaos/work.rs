//! The transactions of a client. Each transaction has a key, and inserts the rows of this key.

use pg_wire::backend::Backend;
use pg_wire::copy::{CopyOptions, CopyWriter};
use pg_wire::{Connection, Error, PgProtocol, Portal, Statement, Transport};

use crate::fence;

/// A transaction that inserts the rows of the key `key` for the client `client`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) client: i32,
    pub(crate) key: i64,
    pub(crate) epoch: i64,
}

/// The way in which a transaction is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Each statement is sent after the answer to the previous statement.
    Simple,
    /// All statements in one batch of the extended protocol, with one Sync.
    Pipelined,
    Copy,
}

impl Transaction {
    fn way(self) -> Way {
        match self.key % 3 {
            0 => Way::Simple,
            1 => Way::Pipelined,
            _ => Way::Copy,
        }
    }

    /// Number of rows of the transaction.
    pub(crate) fn rows(self) -> i32 {
        let few = 1 + i32::try_from(self.key % 5).unwrap_or(0);
        match self.way() {
            Way::Copy => few * 40,
            Way::Simple | Way::Pipelined => few,
        }
    }

    /// Returns the text of a row. [`verdict`](crate::verdict) computes the same text in SQL.
    fn body(self, row: i32) -> String {
        let number = i64::from(self.client) * 1_000_003 + self.key * 1009 + i64::from(row);
        format!("{number},").repeat(1 + usize::try_from(self.key % 40).unwrap_or(0))
    }

    /// Executes the transaction. Sets `acknowledged` as soon as the CommandComplete of COMMIT is received.
    pub(crate) async fn execute<T: Transport>(
        self,
        conn: &mut Connection<T>,
        acknowledged: &mut bool,
    ) -> Result<(), Error> {
        match self.way() {
            Way::Simple => {
                self.begin(conn).await?;
                for row in 0..self.rows() {
                    let Self { client, key, .. } = self;
                    let body = self.body(row);
                    let sql = format!("INSERT INTO chaos_rows VALUES ({client}, {key}, {row}, '{body}')");
                    conn.query(&sql).flush().await?;
                    finish(conn, acknowledged).await?;
                }
                conn.query("COMMIT").flush().await?;
                finish(conn, acknowledged).await
            }
            Way::Pipelined => {
                statement(conn, "BEGIN");
                statement(conn, &fence::hold(self.client, self.epoch));
                conn.parse(Statement("insert"))
                    .query("INSERT INTO chaos_rows VALUES ($1, $2, $3, $4)")
                    .finish();
                for row in 0..self.rows() {
                    let parameters = (self.client, self.key, row, self.body(row));
                    conn.bind(Statement("insert"), Portal::UNNAMED).execute(parameters);
                }
                conn.close_statement(Statement("insert"));
                statement(conn, "COMMIT");
                conn.sync().flush().await?;
                finish(conn, acknowledged).await
            }
            Way::Copy => {
                self.begin(conn).await?;
                let options = CopyOptions::text();
                let sql = format!("COPY chaos_rows FROM STDIN ({})", options.copy_from());
                let mut copy = conn.copy_in(&sql, CopyWriter::new(&options)?).await?;
                for row in 0..self.rows() {
                    copy.row(&(self.client, self.key, row, self.body(row))).await?;
                }
                copy.finish().await?;
                conn.query("COMMIT").flush().await?;
                finish(conn, acknowledged).await
            }
        }
    }

    async fn begin<T: Transport>(self, conn: &mut Connection<T>) -> Result<(), Error> {
        conn.query("BEGIN").flush().await?;
        finish(conn, &mut false).await?;
        conn.query(&fence::hold(self.client, self.epoch)).flush().await?;
        finish(conn, &mut false).await
    }
}

/// Queues an unnamed statement without parameters.
fn statement<T: Transport>(conn: &mut Connection<T>, sql: &str) {
    conn.parse(Statement::UNNAMED).query(sql).finish();
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute(());
}

/// Receives the answers up to ReadyForQuery.
async fn finish<T: Transport>(conn: &mut Connection<T>, acknowledged: &mut bool) -> Result<(), Error> {
    conn.until_ready(|frame| {
        if let Backend::CommandComplete(done) = frame.backend()? {
            // In a failed transaction, the answer to COMMIT has the tag ROLLBACK.
            *acknowledged |= done.tag == "COMMIT";
        }
        Ok::<_, Error>(())
    })
    .await
    .map(drop)
}

/// Increments the client's epoch (see [`fence`]), and counts the rows of a key. Returns the epoch and the count.
pub(crate) async fn look_up<T: Transport>(
    conn: &mut Connection<T>,
    client: i32,
    key: i64,
) -> Result<(i64, i64), Error> {
    // Two statements, and so two transactions. The second statement sees every transaction that committed before the first statement
    // incremented the epoch.
    let epoch = number(conn, &fence::advance(client)).await?;
    Ok((epoch, number(conn, &fence::look_up(client, key)).await?))
}

/// Runs a query, and returns its only value.
async fn number<T: Transport>(conn: &mut Connection<T>, sql: &str) -> Result<i64, Error> {
    conn.query(sql).flush().await?;
    let mut number = None;
    conn.until_ready(|frame| {
        if let Backend::DataRow(row) = frame.backend()? {
            let text = row.values.get(0)?.flatten().and_then(|value| std::str::from_utf8(value).ok());
            number = text.and_then(|text| text.parse().ok());
        }
        Ok::<_, Error>(())
    })
    .await?;
    number.ok_or(Error::Closed { mid_message: false })
}
