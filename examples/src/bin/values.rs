//! Values of PostgreSQL types as Rust values: tuples as parameters and rows, in both formats, and types of other crates.
//!
//! `cargo run -p examples --bin values -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use chrono::NaiveDateTime;
use examples::until_ready;
use pg_stream_tokio::{Connection, FormatCode, PgProtocol, Portal, Socket, Statement};
use pg_wire::backend::{Backend, DataRow};
use pg_wire::value::{Columns, Sql, SqlParam};
use postgres_types::Type;
use rust_decimal::Decimal;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut conn, _) = pg_stream_tokio::connect(&examples::config()?).await?;

    // The Rust type of each parameter decides its format. The columns arrive in the formats that Bind requests. A tuple can be decoded from
    // text format and from binary format.
    conn.parse(Statement("all"))
        .query("SELECT $1::bool, $2::int2, $3::int8, $4::float8, $5::text, $6::bytea, $7::int4")
        .finish();
    let all = (true, -2i16, 1i64 << 40, 0.1f64, "café", b"\x00\xff", None::<i32>);
    for format in [FormatCode::Binary, FormatCode::Text] {
        conn.bind(Statement("all"), Portal::UNNAMED).result_formats(&[format]).finish(all);
        each_row(&mut conn, |columns, row| {
            let all: (bool, i16, i64, f64, &str, Vec<u8>, Option<i32>) = columns.decode(row)?;
            println!("{format:?}: {all:?}");
            Ok(())
        })
        .await?;
    }

    // Types that implement the traits of postgres-types are sent as `SqlParam` and received as `Sql`, in both formats.
    let noon: NaiveDateTime = "2024-02-29T12:00:00".parse()?;
    let due = SqlParam::new(&noon, &Type::TIMESTAMP)?;
    let price = SqlParam::new(&Decimal::new(1999, 2), &Type::NUMERIC)?;
    conn.parse(Statement("two")).query("SELECT $1::timestamp AS due, $2::numeric AS price").finish();
    conn.bind(Statement("two"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]).finish((due, price));
    each_row(&mut conn, |columns, row| {
        let (Sql(due), Sql(price)): (Sql<NaiveDateTime>, Sql<Decimal>) = columns.decode(row)?;
        println!("{price} is due on {due}");
        // The error contains the column that cannot be decoded, and the reason.
        if let Err(error) = columns.decode::<(Sql<NaiveDateTime>, i32)>(row) {
            println!("{error}");
        }
        Ok(())
    })
    .await?;
    conn.terminate().close().await?;
    Ok(())
}

/// Runs the unnamed portal. Passes each row to `each`, together with the columns that decode it.
async fn each_row(
    conn: &mut Connection<Socket>,
    mut each: impl FnMut(&Columns, &DataRow<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
    let mut columns = Columns::default();
    until_ready(conn, |message| {
        match message {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => each(&columns, &row)?,
            _ => {}
        }
        Ok(())
    })
    .await
}
