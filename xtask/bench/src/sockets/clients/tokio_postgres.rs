//! A client with tokio-postgres. One task runs the library's connection, and another task runs the queries.

use std::error::Error;
use std::pin::pin;
use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{SinkExt, TryStreamExt};
use postgres_types::{FromSql, Type};
use tokio::runtime::Runtime;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client as Session, Config, NoTls, Row, SimpleQueryMessage, Statement};

use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::touch::Touch;
use crate::micro::typed::{Four, add};
use crate::sockets::place::{At, Place};
use crate::sockets::typed::ReadTyped;

/// A client, and the runtime of its connection task.
pub(crate) struct TokioPostgres {
    runtime: Rc<Runtime>,
    session: Session,
    one: Option<Statement>,
}

/// The bytes of a value of any type.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

impl TokioPostgres {
    /// Connects to the server.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let session = runtime.block_on(async {
            let mut config = Config::new();
            let mode = if place.tls.is_some() { SslMode::Require } else { SslMode::Disable };
            config.user(place.user).dbname(place.database).ssl_mode(mode);
            if place.is_bound() {
                config.channel_binding(ChannelBinding::Require);
            }
            if let Some(password) = place.password {
                config.password(password);
            }
            match &place.at {
                At::Tcp(address) => config.host(address.ip().to_string()).port(address.port()),
                At::Unix(dir, port) => config.host_path(dir).port(*port),
            };
            let session = match &place.tls {
                None => {
                    let (session, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    session
                }
                Some(tls) => {
                    let (session, connection) = config.connect(tls.tokio_postgres.clone()).await?;
                    tokio::spawn(connection);
                    session
                }
            };
            Ok::<_, tokio_postgres::Error>(session)
        })?;
        Ok(Self { runtime, session, one: None })
    }

    fn prepare(&mut self) -> Result<Statement> {
        if self.one.is_none() {
            self.one = Some(self.runtime.block_on(self.session.prepare(ONE))?);
        }
        self.one.clone().ok_or_else(|| anyhow::anyhow!("prepared just now"))
    }
}

impl TokioPostgres {
    /// Runs a statement, and passes each row to `add`, which adds the values of the row to the sum. Returns the sum.
    fn read_typed(&mut self, sql: &str, add: impl Fn(&Row, &mut Touch) -> Result<()>) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let none: [&i32; 0] = [];
            let mut rows = pin!(self.session.query_raw(sql, none).await?);
            while let Some(row) = rows.try_next().await? {
                add(&row, &mut touch)?;
            }
            Ok(touch.sum())
        })
    }
}

/// Reads four typed values, beginning with the column `first`.
fn four(row: &Row, first: usize) -> Result<Four<'_>> {
    Ok((row.try_get(first)?, row.try_get(first + 1)?, row.try_get(first + 2)?, row.try_get(first + 3)?))
}

impl ReadTyped for TokioPostgres {
    fn read_four(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, |row, touch| {
            add(four(row, 0)?, touch);
            Ok(())
        })
    }

    fn read_twelve(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, |row, touch| {
            for first in [0, 4, 8] {
                add(four(row, first)?, touch);
            }
            Ok(())
        })
    }
}

impl Client for TokioPostgres {
    fn wait(&mut self) {
        // Yields to the task of the connection, until that task waits for a message of the server.
        self.runtime.block_on(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn read_text(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = pin!(self.session.simple_query_raw(sql).await?);
            while let Some(message) = rows.try_next().await? {
                if let SimpleQueryMessage::Row(row) = message {
                    for column in 0..row.len() {
                        touch.value(row.get(column).map(str::as_bytes));
                    }
                }
            }
            Ok(touch.sum())
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let none: [&i32; 0] = [];
            let mut rows = pin!(self.session.query_raw(sql, none).await?);
            while let Some(row) = rows.try_next().await? {
                for column in 0..row.len() {
                    touch.value(row.try_get::<_, Option<Raw<'_>>>(column)?.map(|raw| raw.0));
                }
            }
            Ok(touch.sum())
        })
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let mut data = pin!(self.session.copy_out(sql).await?);
            while let Some(data) = data.try_next().await? {
                touch.value(Some(&data));
            }
            Ok(touch.sum())
        })
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        self.runtime.block_on(async {
            let mut sink = pin!(self.session.copy_in(sql).await?);
            for _ in 0..pieces.times {
                // Calls `feed` instead of `send`, because `send` would flush each piece. With `feed`, tokio-postgres flushes only when its
                // buffer is full.
                sink.feed(Bytes::from_static(pieces.piece)).await?;
            }
            sink.finish().await?;
            Ok(0)
        })
    }

    /// Returns an error if `sync_each` is false, because tokio-postgres sends a Sync after every statement.
    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        anyhow::ensure!(pipeline.sync_each, "tokio-postgres cannot send one Sync for several statements");
        let one = self.prepare()?;
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            for batch in 0..pipeline.batches {
                let values: Vec<i32> = (0..pipeline.depth).map(|place| (batch + place) as i32).collect();
                let queries = values.iter().map(|value| {
                    let (session, one) = (&self.session, &one);
                    async move { session.query_one(one, &[value]).await }
                });
                for row in try_join_all(queries).await? {
                    touch.value(row.try_get::<_, Option<Raw<'_>>>(0)?.map(|raw| raw.0));
                }
            }
            Ok(touch.sum())
        })
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        let one = self.prepare()?;
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            for value in 0..count as i32 {
                let row = self.session.query_one(&one, &[&value]).await?;
                touch.value(row.try_get::<_, Option<Raw<'_>>>(0)?.map(|raw| raw.0));
            }
            Ok(touch.sum())
        })
    }
}
