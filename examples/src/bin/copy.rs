//! Bulk data with COPY: copies lines into a table, then copies rows out of the table.
//!
//! `cargo run -p examples --bin copy -- postgres://user:secret@localhost/mydb`

use std::error::Error;
use std::io::Write;

use examples::until_ready;
use pg_stream_tokio::PgProtocol;
use pg_wire::backend::Backend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut conn, _) = pg_stream_tokio::connect(&examples::config()?).await?;
    conn.query("CREATE TEMP TABLE planets (name text, moons int)").flush().await?;
    until_ready(&mut conn, |_| Ok(())).await?;

    // The client need not wait for the CopyInResponse: a server that rejects the COPY sends an ErrorResponse and skips the data.
    conn.query("COPY planets FROM STDIN");
    for (name, moons) in [("Mercury", 0), ("Earth", 1), ("Mars", 2)] {
        // The data may be split into CopyData messages at any byte. Large data is sent faster if each message has some kilobytes.
        conn.copy_data(format!("{name}\t{moons}\n").as_bytes()).flush().await?;
    }
    conn.copy_done().flush().await?;
    until_ready(&mut conn, |message| {
        if let Backend::CommandComplete(done) = message {
            println!("{}", done.tag);
        }
        Ok(())
    })
    .await?;

    let mut stdout = std::io::stdout();
    conn.query("COPY (SELECT * FROM planets WHERE moons > 0) TO STDOUT (FORMAT csv, HEADER)").flush().await?;
    until_ready(&mut conn, |message| {
        if let Backend::CopyData(piece) = message {
            stdout.write_all(piece.data.0)?;
        }
        Ok(())
    })
    .await?;
    conn.terminate().close().await?;
    Ok(())
}
