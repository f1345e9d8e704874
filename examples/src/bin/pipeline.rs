//! A pipeline: ten thousand statements in one batch with one Sync, sent by one flush. The batch has ten megabytes, and its answers have ten
//! megabytes too.
//!
//! `cargo run -p examples --bin pipeline -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::{PgProtocol, Portal, Statement};
use pg_wire::backend::Backend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut conn, _) = pg_stream_tokio::connect(&examples::config()?).await?;

    let kilobyte = "x".repeat(1000);
    conn.parse(Statement("echo")).query("SELECT $1::text").finish();
    for _ in 0..10_000 {
        conn.bind(Statement("echo"), Portal::UNNAMED).execute((&kilobyte,));
    }
    conn.sync();
    println!("{} bytes to send", conn.outbox().batch().len());
    // The batch is far larger than the socket buffers, and the server stops reading while its answers are not read. So `flush` also reads
    // answers while it sends, up to `Limits::read_ahead` bytes. If the answers were longer, `flush` would return `InboxFull`, and `recv`
    // would then send the rest of the batch.
    conn.flush().await?;

    let (mut rows, mut bytes) = (0, 0);
    until_ready(&mut conn, |message| {
        if let Backend::DataRow(row) = message {
            rows += 1;
            for value in row.values {
                bytes += value?.map_or(0, <[u8]>::len);
            }
        }
        Ok(())
    })
    .await?;
    println!("{rows} rows of {bytes} bytes before the one ReadyForQuery");
    conn.terminate().close().await?;
    Ok(())
}
