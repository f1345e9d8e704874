//! Cancels a statement that takes too long, then runs another statement in the same session.
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
    let target = session.cancel_target().ok_or("the server sent no cancel key")?;

    // A cancel request has no effect before the statement runs. So the statement sends a notice when it begins, and the client waits for
    // the notice before it sends the cancel request.
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

    // The cancel request is sent over a second connection. The function `cancel` needs only `config` and `target`, so another task could
    // call it as well.
    cancel(&config, &target).await?;
    match until_ready(&mut conn, |_| Ok(())).await {
        Ok(()) => return Err("the statement was not cancelled".into()),
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
