//! The server's chair.

use futures_io::{AsyncRead, AsyncWrite};
use pg_auth::connect::{self, Accepted};
use pg_auth::{ConnectError, Credentials, Startup};
use pg_wire::Limits;

use crate::builder::offload;
use crate::{Connection, FuturesIo};

/// Goes through the connection phase with a client that has just connected over `stream`.
///
/// `lookup` says how the user of the start-up message is to be authenticated. On success AuthenticationOk has been sent; what a
/// session begins with is the caller's to say, with [`welcome`](pg_auth::accept::welcome). On failure the client has been told.
/// Put a time limit around the call, or a client that says nothing is waited for.
///
/// ```no_run
/// use pg_stream_async_std::backend::{CommandComplete, DataRow, FieldDescription, ReadyForQuery, RowDescription};
/// use pg_stream_async_std::frontend::Frontend;
/// use pg_stream_async_std::pg_auth::{Credentials, scram::Verifier};
/// use pg_stream_async_std::pg_wire::{List, TransactionStatus, Values};
/// use pg_stream_async_std::{Accepted, Limits, accept, welcome};
///
/// # async fn run(verifier: Verifier) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = async_net::TcpListener::bind("127.0.0.1:5433").await?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     let verifier = verifier.clone();
///     async_std::task::spawn(async move {
///         let lookup = async |_| Credentials::Scram(verifier.clone());
///         let (mut conn, accepted) = accept(stream, Limits::FRONTEND, lookup).await?;
///         if let Accepted::Login(_) = accepted {
///             welcome([("server_version", "18.0")], None, conn.outbox_mut());
///             conn.flush().await?;
///             while let Frontend::Query(_) = conn.recv().await?.frontend()? {
///                 conn.put(&RowDescription { fields: List::from(&[FieldDescription::default()]) });
///                 conn.put(&DataRow { values: Values::from(&[Some(&b"42"[..])]) });
///                 conn.put(&CommandComplete { tag: "SELECT 1".into() });
///                 conn.put(&ReadyForQuery { status: TransactionStatus::Idle }).flush().await?;
///             }
///         }
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
///     });
/// }
/// # }
/// ```
///
/// # Errors
/// [`ConnectError::Auth`] when the client was refused, and has been told; [`ConnectError::Connection`] when it has left.
pub async fn accept<S, L, Creds>(
    stream: S,
    limits: Limits,
    lookup: L,
) -> Result<(Connection<S>, Accepted), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    L: Fn(Startup) -> Creds,
    Creds: Future<Output = Credentials>,
{
    let mut conn = Connection::new(FuturesIo(stream), limits);
    let accepted = connect::accept(&mut conn, lookup, offload).await?;
    Ok((conn, accepted))
}
