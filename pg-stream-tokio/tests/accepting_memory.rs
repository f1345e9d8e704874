//! Tests how much memory a server needs for a client that is not yet authenticated.

#[path = "support/stages.rs"]
mod stages;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pg_auth::Password;
use pg_auth::accept::{Credentials, StoredPassword};
use pg_stream_tokio::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

struct Client(stages::Stopped);

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0.read(buf.initialize_unfilled()) {
            Some(count) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn credentials(_: pg_auth::accept::Startup) -> Credentials {
    Credentials::Cleartext(StoredPassword::Plain(Password::from("secret")))
}

#[test]
fn a_client_that_is_not_authenticated_takes_little_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _within = runtime.enter();
    println!("in clear:");
    stages::hold_little(async |client| {
        let _ = Acceptor::new().accept(Client(client), credentials).await;
    });
    println!("with TLS offered:");
    stages::hold_little(async |client| {
        let upgrade = async |_| -> io::Result<pg_stream_tokio::Upgraded<Client>> {
            Err(io::ErrorKind::Unsupported.into())
        };
        let _ = Acceptor::new().accept_with_tls(Client(client), upgrade, credentials).await;
    });
}
