//! Rows as structs: a prepared statement whose parameters are checked, and rows that are read by the names of their columns.
//!
//! `cargo run -p examples --bin rows -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::{FormatCode, PgProtocol, Portal, Statement};
use pg_wire::backend::Backend;
use pg_wire::value::{FromRow, StatementDescription};

/// A row of the result. The order of the columns in the result does not matter.
#[derive(FromRow)]
struct Planet<'a> {
    name: &'a str,
    #[from_row(rename = "moon count")]
    moons: i32,
    /// In millions of kilometres; `None` for NULL.
    distance: Option<f64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let config = url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?;
    let (mut conn, _) = pg_stream_tokio::connect(&config).await?;

    // The description of a statement is valid until the statement is closed.
    let sql = "select column1 as \"moon count\", column2 as distance, column3 as name \
               from (values (1, 149.6::float8, 'Earth'), (2, 227.9, 'Mars'), (0, null, 'X')) planets where column1 >= $1";
    let mut statement = StatementDescription::default();
    conn.parse(Statement("planets"))
        .query(sql)
        .finish()
        .describe_statement(Statement("planets"))
        .sync()
        .flush()
        .await?;
    until_ready(&mut conn, |message| {
        statement.follow(&message);
        Ok(())
    })
    .await?;

    // An `i64` does not fit the type of `$1`. Without this check, the server would reject the value, or would read its bytes as another
    // value.
    if let Err(error) = statement.check(&(1i64,)) {
        println!("{error}");
    }
    let params = (1i32,);
    statement.check(&params)?;

    let formats = [FormatCode::Binary];
    let mut columns = statement.columns(&formats)?;
    // If the result lacks a column, or a column has another type, this call returns an error before the first row is read.
    columns.prepare::<Planet<'_>>()?;
    conn.bind(Statement("planets"), Portal::UNNAMED).result_formats(&formats).finish(params);
    conn.execute(Portal::UNNAMED, 0).sync().flush().await?;
    until_ready(&mut conn, |message| {
        if let Backend::DataRow(row) = message {
            let planet: Planet<'_> = columns.decode(&row)?;
            let distance =
                planet.distance.map_or("unknown".into(), |distance| format!("{distance} million km"));
            println!("{}: moons {}, distance {distance}", planet.name, planet.moons);
        }
        Ok(())
    })
    .await?;
    conn.terminate().close().await?;
    Ok(())
}
