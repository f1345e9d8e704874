//! Bulk data with COPY: copies rows into a table, then copies rows out of the table.
//!
//! `cargo run -p examples --bin copy -- postgres://user:secret@localhost/mydb`
//!
//! A second argument `in` or `out` copies five million rows in one direction, with a progress bar on a terminal. A third argument sets the
//! number of rows:
//!
//! `cargo run --release -p examples --bin copy -- postgres://user:secret@localhost/mydb in 1000000`

use std::error::Error;

use examples::until_ready;
use indicatif::{ProgressBar, ProgressStyle};
use pg_stream_tokio::{Connection, PgProtocol, Socket};
use pg_wire::copy::{CopyOptions, CopyReader, CopyWriter, Header};
use pg_wire::oid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Number of rows between two updates of the progress bar.
const STEP: u64 = 4096;

#[tokio::main]
async fn main() -> Result<()> {
    let config = examples::config()?;
    let rows = std::env::args().nth(3).map_or(Ok(5_000_000), |rows| rows.parse());
    let rows: i32 = rows.map_err(|error| format!("the number of rows is invalid: {error}"))?;
    let (mut conn, _) = pg_stream_tokio::connect(&config).await?;
    match std::env::args().nth(2).as_deref() {
        None => planets(&mut conn).await?,
        Some("in") => copy_in(&mut conn, rows).await?,
        Some("out") => copy_out(&mut conn, rows).await?,
        Some(other) => return Err(format!("the second argument is {other:?}, expected in or out").into()),
    }
    conn.terminate().close().await?;
    Ok(())
}

async fn planets(conn: &mut Connection<Socket>) -> Result<()> {
    conn.query("CREATE TEMP TABLE planets (name text, moons int)").flush().await?;
    until_ready(conn, |_| Ok(())).await?;

    let options = CopyOptions::text();
    let sql = format!("COPY planets FROM STDIN ({})", options.copy_from());
    let mut copy = conn.copy_in(&sql, CopyWriter::new(&options)?).await?;
    copy.extend([("Mercury", 0), ("Earth", 1), ("Mars", 2)]).await?;
    println!("{} rows are copied in", copy.finish().await?.rows);

    let options = CopyOptions::csv().header(Header::Match);
    let sql = format!("COPY (SELECT * FROM planets WHERE moons > 0) TO STDOUT ({})", options.copy_to());
    let copy = conn.copy_out(&sql, CopyReader::with_names(&options, &["name", "moons"])?).await?;
    copy.for_each(|row| {
        let (name, moons): (&str, i32) = row.decode()?;
        println!("{name}: {moons}");
        Ok::<_, pg_wire::Error>(())
    })
    .await?;
    Ok(())
}

async fn copy_in(conn: &mut Connection<Socket>, rows: i32) -> Result<()> {
    conn.query("CREATE TEMP TABLE numbers (id int4, name text, half float8)").flush().await?;
    until_ready(conn, |_| Ok(())).await?;

    let options = CopyOptions::binary();
    let sql = format!("COPY numbers FROM STDIN ({})", options.copy_from());
    let mut copy = conn.copy_in(&sql, CopyWriter::new(&options)?).await?;
    let bar = bar(rows)?;
    for id in 1..=rows {
        // If the server has reported an error, `copy.row` returns the error. Before the error arrives, the client may send a few blocks of
        // 64 KiB, which the server ignores.
        copy.row(&(id, format!("number {id}"), f64::from(id) / 2.0)).await?;
        if copy.rows().is_multiple_of(STEP) {
            bar.set_position(copy.rows());
        }
    }
    let end = copy.finish().await?;
    bar.finish_and_clear();
    println!("{} rows are copied in", end.rows);
    Ok(())
}

async fn copy_out(conn: &mut Connection<Socket>, rows: i32) -> Result<()> {
    let options = CopyOptions::binary();
    let select = format!("SELECT n, 'number ' || n, n / 2::float8 FROM generate_series(1, {rows}) n");
    let sql = format!("COPY ({select}) TO STDOUT ({})", options.copy_to());
    // The rows of a COPY do not contain the types of their columns. `types` declares the types, so that decoding into a Rust type
    // that does not fit is an error.
    let reader = CopyReader::new(&options)?.types(&[oid::INT4, oid::TEXT, oid::FLOAT8]);
    let mut copy = conn.copy_out(&sql, reader).await?;
    let (bar, mut letters, mut sum) = (bar(rows)?, 0, 0.0);
    while let Some((_, name, half)) = copy.decode::<(i32, &str, f64)>().await? {
        letters += name.len();
        sum += half;
        if copy.rows().is_multiple_of(STEP) {
            bar.set_position(copy.rows());
        }
    }
    bar.finish_and_clear();
    println!("{} rows are copied out: {letters} letters, sum {sum}", copy.rows());
    Ok(())
}

/// A progress bar, which is drawn only on a terminal.
fn bar(rows: i32) -> Result<ProgressBar> {
    let bar = ProgressBar::new(u64::try_from(rows).map_err(|_| "the number of rows is negative")?);
    Ok(bar.with_style(ProgressStyle::with_template("{wide_bar} {human_pos} rows, {per_sec}")?))
}
