//! A session over TLS. The client verifies the certificate. Instead of the password, the client sends a proof that is bound to the channel.
//!
//! `cargo run -p examples --bin tls -- 'postgres://user:secret@db.example/mydb?sslmode=verify-full'`

use std::error::Error;

use pg_stream_tokio::{Config, PgProtocol, connect};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("no connection string is given")?;
    let config: Config = url.parse()?;
    let (mut conn, session) = connect(&config).await?;

    let tls = session.tls.ok_or("the session has no TLS: add sslmode=verify-full")?;
    let version = tls.version.map(|version| version.to_string());
    println!("{}, user authenticated by {}", version.unwrap_or("TLS".into()), session.auth_method);
    println!("bound to the channel: {}", session.channel_bound);
    conn.terminate().close().await?;
    Ok(())
}
