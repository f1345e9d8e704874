//! A client with sqlx. sqlx supports neither pipelines nor channel binding, so over TLS this client logs in by SCRAM-SHA-256 without
//! channel binding.

use std::rc::Rc;

use anyhow::Result;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Row, ValueRef};
use tokio::runtime::Runtime;

use super::{Client, ONE, Pieces};
use crate::micro::touch::Touch;
use crate::micro::typed::add;
use crate::sockets::place::{At, Place};
use crate::sockets::typed::ReadTyped;

/// A connection and its runtime.
pub(crate) struct Sqlx {
    runtime: Rc<Runtime>,
    conn: PgConnection,
}

impl Sqlx {
    /// Connects to the server.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .username(place.user)
            .database(place.database)
            .ssl_mode(if place.tls.is_some() { PgSslMode::Require } else { PgSslMode::Disable });
        if let Some(password) = place.password {
            options = options.password(password);
        }
        let options = match &place.at {
            At::Tcp(address) => options.host(&address.ip().to_string()).port(address.port()),
            At::Unix(dir, port) => options.socket(dir).port(*port),
        };
        let conn = runtime.block_on(options.disable_statement_logging().connect())?;
        Ok(Self { runtime, conn })
    }
}

fn look(row: &PgRow, touch: &mut Touch) -> Result<()> {
    for column in 0..row.len() {
        let value = row.try_get_raw(column)?;
        if value.is_null() {
            touch.value(None);
        } else {
            touch.value(Some(value.as_bytes().map_err(|error| anyhow::anyhow!(error))?));
        }
    }
    Ok(())
}

/// Four typed values, as `query_as` reads them. The strings are owned, because `query_as` cannot return a `&str` that borrows from the row.
type Four = (i32, String, f64, Option<String>);

/// Twelve typed values: three times [`Four`].
type Twelve =
    (i32, String, f64, Option<String>, i32, String, f64, Option<String>, i32, String, f64, Option<String>);

impl ReadTyped for Sqlx {
    fn read_four(&mut self, sql: &str) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = sqlx::query_as::<_, Four>(AssertSqlSafe(sql)).fetch(conn);
            while let Some((id, name, price, note)) = rows.try_next().await? {
                add((id, &name, price, note.as_deref()), &mut touch);
            }
            Ok(touch.sum())
        })
    }

    fn read_twelve(&mut self, sql: &str) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = sqlx::query_as::<_, Twelve>(AssertSqlSafe(sql)).fetch(conn);
            while let Some((a, b, c, d, e, f, g, h, i, j, k, l)) = rows.try_next().await? {
                add((a, &b, c, d.as_deref()), &mut touch);
                add((e, &f, g, h.as_deref()), &mut touch);
                add((i, &j, k, l.as_deref()), &mut touch);
            }
            Ok(touch.sum())
        })
    }
}

impl Client for Sqlx {
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch(conn);
            while let Some(row) = rows.try_next().await? {
                look(&row, &mut touch)?;
            }
            Ok(touch.sum())
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
            while let Some(row) = rows.try_next().await? {
                look(&row, &mut touch)?;
            }
            Ok(touch.sum())
        })
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            let mut data = conn.copy_out_raw(sql).await?;
            while let Some(data) = data.try_next().await? {
                touch.value(Some(&data));
            }
            Ok(touch.sum())
        })
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut copy = conn.copy_in_raw(sql).await?;
            for _ in 0..pieces.times {
                copy.send(pieces.piece).await?;
            }
            copy.finish().await?;
            Ok(0)
        })
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            let mut touch = Touch::default();
            for value in 0..count as i32 {
                // The first call prepares the statement; later calls find it in the connection's cache.
                let row = sqlx::query(ONE).bind(value).fetch_one(&mut *conn).await?;
                look(&row, &mut touch)?;
            }
            Ok(touch.sum())
        })
    }
}
