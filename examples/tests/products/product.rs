//! A product to which the tests connect, and a client of a product.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pg_auth::{Config, Session};
use pg_wire::Connection;

use crate::adapters::{Adapter, PATIENCE};

/// A running product.
#[derive(Debug)]
pub(crate) struct Product {
    /// The name of the product in the tables of answers.
    pub(crate) name: &'static str,
    config: Config,
}

impl Product {
    /// Describes a product with this connection string.
    pub(crate) fn new(name: &'static str, url: &str) -> Self {
        Self { name, config: url.parse().expect("a connection string") }
    }

    /// Describes a product at this address. The product must have the role `scram`.
    pub(crate) fn at(name: &'static str, address: SocketAddr, database: &str) -> Self {
        Self::new(name, &format!("postgres://scram:scram-secret@{address}/{database}?sslmode=disable"))
    }

    pub(crate) fn is_pglite(&self) -> bool {
        self.name == "PGlite"
    }

    /// Returns a statement that sends a notice and then sleeps until it is cancelled.
    pub(crate) fn asleep(&self) -> &'static str {
        match self.name {
            // The mock server sleeps when it receives this text.
            "mock_server" => "select pg_sleep(3600)",
            // PGlite cannot cancel the statement, so the statement ends by itself after 0.2 seconds.
            "PGlite" => "do $$ begin raise info 'asleep'; perform pg_sleep(0.2); end $$",
            _ => "do $$ begin raise info 'asleep'; perform pg_sleep(3600); end $$",
        }
    }

    /// Whether the product can still be used after the requests of this check.
    pub(crate) fn survives(&self, check: &str) -> bool {
        !(self.is_pglite() && matches!(check, "copy_in" | "failed_copy"))
    }

    /// The time limit for the product to close the connection after Terminate.
    pub(crate) fn patience(&self) -> Duration {
        // PGlite never closes the connection. A short time limit saves time there.
        if self.is_pglite() { Duration::from_millis(500) } else { PATIENCE / 2 }
    }
}

/// A connection to a product.
pub(crate) struct Client<A: Adapter> {
    pub(crate) conn: Connection<A::Socket>,
    pub(crate) session: Session,
    pub(crate) config: Config,
}

impl<A: Adapter> Client<A> {
    /// Opens a connection. With PGlite, tries again until the connection is accepted.
    pub(crate) async fn open(product: &Product) -> Self {
        let deadline = Instant::now() + PATIENCE / 2;
        loop {
            let error = match Self::try_open(product).await {
                Ok(client) => return client,
                Err(error) => error,
            };
            // The socket server of PGlite rejects a connection until it has noticed the end of the previous connection.
            assert!(product.is_pglite() && Instant::now() < deadline, "{}: {error}", product.name);
            let _ = A::within(Duration::from_millis(10), std::future::pending::<()>()).await;
        }
    }

    /// Opens a connection, or returns the text of the error.
    pub(crate) async fn try_open(product: &Product) -> Result<Self, String> {
        let config = product.config.clone();
        let (conn, session) = A::connect(&config).await.map_err(|error| error.to_string())?;
        Ok(Self { conn, session, config })
    }
}

/// Returns the value of an environment variable that `cargo xtask test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}
