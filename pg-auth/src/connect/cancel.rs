//! Sends cancel requests.

use pg_wire::Connection;

use super::builder::ConnectionBuilder;
use super::{ConnectError, Place, cancel};
use crate::runtime::Runtime;
use crate::session::CancelTarget;
use crate::tls::TlsConnect;

impl<R: Runtime, T: TlsConnect<R::Tcp>> ConnectionBuilder<R, T> {
    /// Asks a server to cancel the statement that a session runs, and waits until the server has passed the request to the session's
    /// process.
    ///
    /// [`Session::cancel_target`](crate::Session::cancel_target) returns the target. The request goes to the address that the session is
    /// connected to, even if the host name now has another address. The request uses the same kind of stream as the session: with TLS if
    /// the session has TLS. `connect_timeout` limits the duration of the request.
    ///
    /// The server sends no answer. The statement fails with SQLSTATE 57014, or finished before the server processed the request; in both
    /// cases, receive the replies up to ReadyForQuery. When this function returns, the request can no longer hit the session's next
    /// statement.
    ///
    /// # Errors
    /// The server cannot be reached, or the connection breaks before the server closes it.
    pub async fn cancel(&self, target: &CancelTarget) -> Result<(), ConnectError> {
        let CancelTarget { host, address, link, key } = target;
        let place = Place { address: Some(address.clone()), link: Some(*link), ..Place::new(host) };
        let request = async {
            let (stream, _) = self.open(&self.config, &place, false).await?;
            cancel(&mut Connection::new(stream, self.limits), key).await
        };
        self.limited(request).await.map_err(|error| error.at(place.clone()))
    }
}
