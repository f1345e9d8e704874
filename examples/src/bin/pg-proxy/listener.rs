//! Taking in clients.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pg_stream_tokio::{Socket, TokioIo};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::address::Address;
use crate::say;
use crate::session::{self, Proxy};

/// How long to wait, when a client cannot be taken in and none that we have leaves.
const PAUSE: Duration = Duration::from_secs(1);

/// Descriptors that are for no connection: our own streams, the runtime's, and a few for looking up names.
const RESERVED: u64 = 32;

/// A socket that clients connect to.
pub(crate) struct Listener {
    socket: Listening,
    address: Address,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens on an address.
    pub(crate) async fn bind(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(name) => {
                let listener = TcpListener::bind(name).await?;
                let address = Address::Tcp(listener.local_addr()?.to_string());
                Self { socket: Listening::Tcp(listener), address }
            }
            Address::Unix(path) => {
                Self { socket: Listening::Unix(UnixListener::bind(path)?), address: address.clone() }
            }
        })
    }

    /// Where clients can connect to: for port 0, the port that it got.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes in clients for ever, as many at a time as this many descriptors allow. Dropping the future ends their connections.
    pub(crate) async fn serve(&self, proxy: &Arc<Proxy>, descriptors: Option<u64>) -> Infallible {
        let room_in = |descriptors: u64| descriptors.saturating_sub(RESERVED) / proxy.descriptors_each();
        let most = descriptors.map_or(u64::MAX, room_in).max(1);
        let mut sessions = JoinSet::new();
        let (mut told, mut failed) = (false, false);
        loop {
            let room = (sessions.len() as u64) < most;
            if !room && !std::mem::replace(&mut told, true) {
                say(format_args!(
                    "pg-proxy: there is room for {most} connections; others wait until one ends"
                ));
            }
            tokio::select! {
                client = self.accept(), if room && !failed => match client {
                    Ok(client) => {
                        sessions.spawn(session::run(Arc::clone(proxy), client));
                    }
                    // The machine has none left, mostly. The client is still there when it has.
                    Err(error) => {
                        say(format_args!("pg-proxy: cannot take in a client, waiting for one to leave: {error}"));
                        failed = true;
                    }
                },
                Some(_) = sessions.join_next() => failed = false,
                () = sleep(PAUSE), if failed => failed = false,
            }
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        loop {
            let accepted = match &self.socket {
                Listening::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                    stream.set_nodelay(true)?;
                    Ok(Socket::Tcp(TokioIo(stream)))
                }),
                Listening::Unix(listener) => listener
                    .accept()
                    .await
                    .and_then(|(stream, _)| stream.try_into().map(TokioIo).map(Socket::Unix)),
            };
            match accepted {
                // It has left already.
                Err(error) if is_about_the_client(&error) => {}
                accepted => return accepted,
            }
        }
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // The file would outlive the socket. Where it is gone already, all the better.
            let _ = fs::remove_file(path);
        }
    }
}
