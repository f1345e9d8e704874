//! Connects, runs one query by the simple protocol and prints its rows.
//!
//! `cargo run -p examples --bin quickstart -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use pg_stream_tokio::backend::Backend;
use pg_stream_tokio::{Columns, Config, ConnectionBuilder, PgProtocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let config: Config = url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?;
    let (mut conn, startup) = ConnectionBuilder::from(config).dial().await?;
    println!("connected to version {}", startup.parameters.get("server_version").unwrap_or("unknown"));

    conn.query("SELECT version()").flush().await?;
    let mut columns = Columns::default();
    let mut is_complete = false;
    loop {
        match conn.recv().await?.backend()? {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => {
                let (version,): (&str,) = columns.decode(&row)?;
                println!("{version}");
            }
            Backend::CommandComplete(_) => is_complete = true,
            Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
            Backend::ReadyForQuery(_) if is_complete => break,
            Backend::ReadyForQuery(_) => return Err("the server has not answered".into()),
            // Notices and changed parameters: they may arrive between any two messages.
            _ => {}
        }
    }
    conn.terminate().close().await?;
    Ok(())
}
