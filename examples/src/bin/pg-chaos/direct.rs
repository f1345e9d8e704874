//! Connections to a server without a proxy: they prepare the database, end sessions, and read the final rows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pg_stream_tokio::{Config, Connection, PgProtocol};
use pg_wire::backend::Backend;

use crate::Result;

/// Longest time for which a server may be unreachable. A restart takes less than a second on an idle machine, but more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A database that is reached without a proxy.
#[derive(Debug)]
pub(crate) struct Database {
    config: Config,
}

impl Database {
    pub(crate) fn new(address: SocketAddr, user: &str) -> Self {
        Self { config: config(address, user) }
    }

    /// Runs SQL, and returns the rows as text. After a failure, tries again for at most `PATIENCE`, because the server may be restarting.
    pub(crate) async fn sql(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_sql(sql).await {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    /// Runs SQL once.
    pub(crate) async fn try_sql(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let asked = async {
            let (mut conn, _) = pg_stream_tokio::connect(&self.config).await?;
            let rows = rows(&mut conn, sql).await?;
            conn.terminate().close().await?;
            Ok(rows)
        };
        tokio::time::timeout(PATIENCE, asked).await?
    }
}

/// Returns the configuration of a connection.
pub(crate) fn config(address: SocketAddr, user: &str) -> Config {
    let config = Config::new(user).database("postgres").with_parameter("application_name", "pg-chaos-direct");
    let host = pg_auth::Host::new(address.ip().to_string(), address.port());
    config.host(host).sslmode(pg_auth::SslMode::Disable)
}

async fn rows(conn: &mut Connection, sql: &str) -> Result<Vec<Vec<String>>> {
    conn.query(sql).flush().await?;
    let mut rows = Vec::new();
    conn.until_ready(|frame| {
        if let Backend::DataRow(row) = frame.backend()? {
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            rows.push(row.values.iter().map(|value| value.map(text)).collect::<std::result::Result<_, _>>()?);
        }
        Ok::<_, pg_wire::Error>(())
    })
    .await?;
    Ok(rows)
}
