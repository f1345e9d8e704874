//! Calls a function by its object id: one round trip and no SQL.
//!
//! `cargo run -p examples --bin function_call -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::{FormatCode, PgProtocol, oid};
use pg_wire::backend::Backend;
use pg_wire::value::{Column, Columns, FromValue};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let config = url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?;
    let (mut conn, _) = pg_stream_tokio::connect(&config).await?;

    // The object id of a function may differ between servers, so it is queried first.
    conn.query("SELECT oid FROM pg_proc WHERE oid = 'pg_catalog.sqrt(float8)'::regprocedure").flush().await?;
    let (mut columns, mut sqrt) = (Columns::default(), 0);
    until_ready(&mut conn, |message| {
        match message {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => (sqrt,) = columns.decode(&row)?,
            _ => {}
        }
        Ok(())
    })
    .await?;

    // The caller must know the types of the arguments and of the result, because the server's answer contains only the bytes of the result.
    let float8 = Column { type_oid: oid::FLOAT8, format: FormatCode::Binary };
    conn.fn_call(sqrt).result_format(FormatCode::Binary).finish((9f64,)).flush().await?;
    until_ready(&mut conn, |message| {
        if let Backend::FunctionCallResponse(result) = message {
            println!("{}", f64::from_value(result.value, float8)?);
        }
        Ok(())
    })
    .await?;
    conn.terminate().close().await?;
    Ok(())
}
