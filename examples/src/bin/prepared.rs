//! The extended protocol: a prepared statement with typed parameters and results, then a long result in pages.
//!
//! `cargo run -p examples --bin prepared -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::{Connection, FormatCode, PgProtocol, Portal, Socket, Statement, oid};
use pg_wire::Columns;
use pg_wire::backend::Backend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let config = url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?;
    let (mut conn, _) = pg_stream_tokio::connect(&config).await?;
    let mut columns = Columns::default();

    // All messages are sent in one batch, so they take one round trip. The answers arrive in the order of the messages.
    conn.parse(Statement("add")).query("SELECT $1 + $2 AS sum").param_types(&[oid::INT4, oid::INT4]).finish();
    conn.bind(Statement("add"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]).finish((5i32, 10i32));
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
    print_numbers(&mut conn, &mut columns).await?;

    // A portal ends with its transaction. Without BEGIN, the transaction would end at the next Sync. BEGIN keeps the portal open, so that
    // the next page can be read.
    conn.query("BEGIN").flush().await?;
    print_numbers(&mut conn, &mut columns).await?;
    conn.parse(Statement("count"))
        .query("SELECT generate_series(1, $1) AS n")
        .param_types(&[oid::INT4])
        .finish();
    conn.bind(Statement("count"), Portal("pages")).result_formats(&[FormatCode::Binary]).finish((7i32,));
    conn.describe_portal(Portal("pages")).execute(Portal("pages"), 3).sync().flush().await?;
    while print_numbers(&mut conn, &mut columns).await? {
        println!("and more:");
        conn.execute(Portal("pages"), 3).sync().flush().await?;
    }
    conn.query("COMMIT").flush().await?;
    print_numbers(&mut conn, &mut columns).await?;
    conn.terminate().close().await?;
    Ok(())
}

/// Prints the rows of a batch, one number per row. Returns whether the portal has more rows.
async fn print_numbers(conn: &mut Connection<Socket>, columns: &mut Columns) -> Result<bool, Box<dyn Error>> {
    let mut more = false;
    until_ready(conn, |message| {
        match message {
            Backend::RowDescription(description) => *columns = Columns::of_portal(&description),
            Backend::DataRow(row) => {
                let (number,): (i32,) = columns.decode(&row)?;
                println!("{number}");
            }
            Backend::PortalSuspended(_) => more = true,
            // The other messages need no action: ParseComplete, BindComplete, CommandComplete, and notices and changed parameters, which
            // may arrive at any time.
            _ => {}
        }
        Ok(())
    })
    .await?;
    Ok(more)
}
