//! A client with pg_stream. For each message, the function `recv` of pg_stream reads one byte, then four bytes, then the body. So the
//! stream is wrapped in a `BufReader`.

use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use pg_stream::message::{Bindable, FormatCode, oid};
use pg_stream::startup::{AuthenticationMode, ConnectionBuilder};
use pg_stream::{PgConnection, PgMessage, PgProtocol};
use tokio::io::BufReader;
use tokio::runtime::Runtime;

use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::source::PIECE;
use crate::micro::touch::Touch;
use crate::sockets::place::{Dial, Place};

/// A connection and its runtime.
pub(crate) struct PgStream<S> {
    runtime: Rc<Runtime>,
    conn: PgConnection<BufReader<S>>,
    prepared: bool,
}

impl<S: Dial> PgStream<S> {
    /// Connects to the server.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let conn = runtime.block_on(async {
            let stream = BufReader::with_capacity(PIECE, S::dial(place).await?);
            let auth = match place.password {
                None => AuthenticationMode::Trust,
                Some(password) => AuthenticationMode::Password(password.into()),
            };
            let builder = ConnectionBuilder::new(place.user).database(place.database).auth(auth);
            match builder.connect(stream).await {
                Ok((conn, _)) => Ok(conn),
                Err(error) => bail!("{error:?}"),
            }
        })?;
        Ok(Self { runtime, conn, prepared: false })
    }

    fn prepare(&mut self) -> Result<()> {
        if !self.prepared {
            self.conn.parse(Some("one")).query(ONE).param_types(&[oid::INT4]).finish().sync();
            self.runtime.block_on(async {
                self.conn.flush().await?;
                until_ready(&mut self.conn, 1).await
            })?;
            self.prepared = true;
        }
        Ok(())
    }
}

async fn until_ready<S: Dial>(conn: &mut PgConnection<BufReader<S>>, syncs: u64) -> Result<u64> {
    let (mut left, mut touch) = (syncs, Touch::default());
    while left > 0 {
        match conn.recv().await? {
            PgMessage::DataRow(row) => {
                for column in 0..row.column_count().into() {
                    touch.value(row.column(column));
                }
            }
            PgMessage::CopyData(data) => touch.value(Some(&data)),
            PgMessage::ReadyForQuery(_) => left -= 1,
            PgMessage::ErrorResponse(error) => bail!("{error:?}"),
            _ => {}
        }
    }
    Ok(touch.sum())
}

impl<S: Dial> Client for PgStream<S> {
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        self.conn.query(sql);
        self.runtime.block_on(async {
            self.conn.flush().await?;
            until_ready(&mut self.conn, 1).await
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        self.conn.parse(None).query(sql).finish();
        self.conn.bind(None).result_format(FormatCode::Binary).finish(&[]).execute(None, 0).sync();
        self.runtime.block_on(async {
            self.conn.flush().await?;
            until_ready(&mut self.conn, 1).await
        })
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        self.read_text(sql)
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        let conn = &mut self.conn;
        conn.query(sql);
        self.runtime.block_on(async {
            conn.flush().await?;
            while !matches!(conn.recv().await?, PgMessage::CopyInResponse(_)) {}
            for _ in 0..pieces.times {
                conn.copy_data(pieces.piece);
                if conn.pending_len() >= PIECE {
                    conn.flush().await?;
                }
            }
            conn.copy_done();
            conn.flush().await?;
            until_ready(conn, 1).await
        })
    }

    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        self.prepare()?;
        let conn = &mut self.conn;
        self.runtime.block_on(async {
            let mut sum = 0_u64;
            for batch in 0..pipeline.batches {
                for place in 0..pipeline.depth {
                    let value = (batch + place) as i32;
                    conn.bind(None)
                        .statement("one")
                        .result_format(FormatCode::Binary)
                        .finish(&[&value as &dyn Bindable])
                        .execute(None, 0);
                    if pipeline.sync_each {
                        conn.sync();
                    }
                }
                if !pipeline.sync_each {
                    conn.sync();
                }
                ensure!(conn.has_pending(), "pg_stream has written no message to its buffer");
                conn.flush().await?;
                let syncs = if pipeline.sync_each { pipeline.depth } else { 1 };
                sum = sum.wrapping_add(until_ready(conn, syncs).await?);
            }
            Ok(sum)
        })
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        self.pipeline(Pipeline { depth: 1, batches: count, sync_each: true })
    }
}
