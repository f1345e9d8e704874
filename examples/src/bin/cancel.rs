//! A statement that takes too long, given up; the session goes on.
//!
//! `cargo run -p examples --bin cancel -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::{PgProtocol, cancel};
use pg_wire::SqlState;
use pg_wire::backend::{Backend, ServerError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = examples::config()?;
    let (mut conn, session) = pg_stream_tokio::connect(&config).await?;
    let target = session.cancel_target().ok_or("the server gave no key to cancel with")?;

    // A request that comes before the statement runs hits nothing, so the statement says when it does.
    conn.query("DO $$ BEGIN RAISE INFO 'asleep'; PERFORM pg_sleep(3600); END $$").flush().await?;
    loop {
        match conn.recv().await?.backend()? {
            Backend::NoticeResponse(notice) => {
                println!("{notice}");
                break;
            }
            Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
            _ => {}
        }
    }

    // Over another connection, and from any task: the target is all that is needed.
    cancel(&config, &target).await?;
    match until_ready(&mut conn, |_| Ok(())).await {
        Ok(()) => return Err("it was not cancelled".into()),
        Err(error) => match error.downcast_ref::<ServerError>() {
            Some(server) if server.sqlstate() == Some(SqlState::QUERY_CANCELED) => println!("{server}"),
            _ => return Err(error),
        },
    }

    conn.query("SELECT 1").flush().await?;
    until_ready(&mut conn, |message| {
        if let Backend::CommandComplete(done) = message {
            println!("{}", done.tag);
        }
        Ok(())
    })
    .await?;
    conn.terminate().close().await?;
    Ok(())
}
