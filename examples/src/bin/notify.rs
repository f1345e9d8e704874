//! Messages from one session to another with LISTEN and NOTIFY.
//!
//! `cargo run -p examples --bin notify -- postgres://user:secret@localhost/mydb`

use std::error::Error;

use examples::until_ready;
use pg_stream_tokio::PgProtocol;
use pg_wire::backend::Backend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = examples::config()?;
    let (mut listener, _) = pg_stream_tokio::connect(&config).await?;
    let (mut notifier, _) = pg_stream_tokio::connect(&config).await?;

    listener.query("LISTEN jobs").flush().await?;
    until_ready(&mut listener, |_| Ok(())).await?;
    notifier.query("NOTIFY jobs, 'number 42 is done'").flush().await?;
    until_ready(&mut notifier, |_| Ok(())).await?;

    // The server may send a notification at any time, without a request from the client.
    loop {
        match listener.recv().await?.backend()? {
            Backend::NotificationResponse(notification) => {
                println!("{}: {}", notification.channel, notification.payload);
                break;
            }
            Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
            _ => {}
        }
    }
    listener.terminate().close().await?;
    notifier.terminate().close().await?;
    Ok(())
}
