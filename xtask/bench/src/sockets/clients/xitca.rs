//! A client with xitca-postgres. The library's driver runs as a separate task. Received messages wait in an unbounded queue.

use std::future::IntoFuture;
use std::rc::Rc;

use anyhow::Result;
use tokio::runtime::Runtime;
use xitca_postgres::copy::CopyOut;
use xitca_postgres::iter::AsyncLendingIterator;
use xitca_postgres::types::Type;
use xitca_postgres::{Client as Session, Config, Execute, Postgres, Statement};

use super::tokio_postgres::Raw;
use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::touch::Touch;
use crate::sockets::place::{At, Place};

/// A client, and the runtime of its driver task.
pub(crate) struct Xitca {
    runtime: Rc<Runtime>,
    session: Session,
    one: Option<Statement>,
}

impl Xitca {
    /// Connects to the server.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let session = runtime.block_on(async {
            // The settings are passed in a connection string, because the builder has no method for `sslmode`.
            // xitca-postgres does not know the parameter `gssencmode`.
            let mut words = place.words().replace(" gssencmode=disable", "");
            if let At::Unix(dir, port) = &place.at {
                // xitca-postgres expects the path of the socket in `host`, not the directory.
                let dir = dir.display();
                words = words.replace(&format!("host={dir} "), &format!("host={dir}/.s.PGSQL.{port} "));
            }
            let config = Config::try_from(words.as_str())?;
            let (session, driver) = Postgres::new(config).connect().await?;
            tokio::spawn(driver.into_future());
            Ok::<_, xitca_postgres::Error>(session)
        })?;
        Ok(Self { runtime, session, one: None })
    }

    fn prepare(&mut self) -> Result<()> {
        if self.one.is_none() {
            let prepare = Statement::named(ONE, &[Type::INT4]).execute(&self.session);
            self.one = Some(self.runtime.block_on(prepare)?.leak());
        }
        Ok(())
    }
}

impl Client for Xitca {
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let mut rows = sql.query(&self.session).await?;
            while let Some(row) = rows.try_next().await? {
                for column in 0..row.len() {
                    touch.value(row.try_get(column)?.map(str::as_bytes));
                }
            }
            Ok(touch.sum())
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let statement = Statement::named(sql, &[]).execute(&self.session).await?;
            let mut rows = statement.query(&self.session).await?;
            while let Some(row) = rows.try_next().await? {
                for column in 0..row.len() {
                    touch.value(row.try_get::<Option<Raw<'_>>>(column)?.map(|raw| raw.0));
                }
            }
            Ok(touch.sum())
        })
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let statement = Statement::named(sql, &[]).execute(&self.session).await?;
            let mut data = CopyOut::new(&self.session, &statement).await?;
            while let Some(data) = data.try_next().await? {
                touch.value(Some(&data));
            }
            Ok(touch.sum())
        })
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        let Self { runtime, session, .. } = self;
        runtime.block_on(async {
            let statement = Statement::named(sql, &[]).execute(&*session).await?.leak();
            let mut copy = session.copy_in(&statement).await?;
            for piece in 0..pieces.times {
                copy.copy(pieces.piece)?;
                // `copy` only adds the piece to a queue. After each 64 KB, this task yields, so that the driver task can send the data;
                // otherwise all data would stay in memory.
                if (piece + 1) * pieces.piece.len() as u64 % 65_536 < pieces.piece.len() as u64 {
                    tokio::task::yield_now().await;
                }
            }
            copy.finish().await?;
            Ok(0)
        })
    }

    /// Returns an error if `sync_each` is false, because xitca-postgres sends a Sync after every statement.
    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        anyhow::ensure!(pipeline.sync_each, "xitca-postgres cannot send one Sync for several statements");
        self.prepare()?;
        let one = self.one.as_ref().ok_or_else(|| anyhow::anyhow!("prepared just now"))?;
        self.runtime.block_on(async {
            let mut touch = Touch::default();
            let mut pending = Vec::with_capacity(pipeline.depth as usize);
            for batch in 0..pipeline.batches {
                for place in 0..pipeline.depth {
                    pending.push(one.bind([(batch + place) as i32]).query(&self.session).await?);
                }
                for mut rows in pending.drain(..) {
                    while let Some(row) = rows.try_next().await? {
                        touch.value(row.try_get::<Option<Raw<'_>>>(0)?.map(|raw| raw.0));
                    }
                }
            }
            Ok(touch.sum())
        })
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        self.pipeline(Pipeline { depth: 1, batches: count, sync_each: true })
    }
}
