//! Asking a server to give up what another session is doing.

use pg_auth::{CancelKey, ConnectError, Host, connect};
use pg_wire::Limits;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Connection, Socket, TokioIo};

/// Asks the server at `host` to cancel what the session with this key is doing, and waits until it has passed that on.
///
/// It has no time limit of its own. The server says nothing about the request: the statement either fails with SQLSTATE 57014
/// or was done before, and the replies up to its ReadyForQuery are still to be received. When this returns, the request can
/// no longer hit what the session does next.
///
/// # Errors
/// When the server cannot be reached, or the connection breaks before the server has closed it.
pub async fn cancel(host: &Host, key: &CancelKey) -> Result<(), ConnectError> {
    let unreachable = |error| ConnectError::Unreachable { host: host.to_string(), error };
    cancel_over(Socket::dial(host).await.map_err(unreachable)?, key).await
}

/// As [`cancel`], over a stream of the caller's on which nothing has been said yet.
///
/// # Errors
/// When the connection breaks before the server has closed it.
pub async fn cancel_over<S>(stream: S, key: &CancelKey) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connect::cancel(&mut Connection::new(TokioIo(stream), Limits::BACKEND), key).await
}
