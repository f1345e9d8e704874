//! A client that uses pg-stream-tokio.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use anyhow::{Context, Result, bail, ensure};
use pg_auth::config::{BindingMode, TlsVersion};
use pg_stream_tokio::{
    Config, Connection, ConnectionBuilder, FormatCode, Host, Link, PgProtocol, Portal, Socket, SslMode,
    Statement, TokioIo, oid,
};
use pg_wire::backend::{Backend, DataRow};
use pg_wire::value::Columns;
use pg_wire::{Frame, Transport};
use tokio::runtime::Runtime;

use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::source::PIECE;
use crate::micro::touch::Touch;
use crate::micro::typed::{add_4, add_12};
use crate::sockets::place::{Dial, Place};
use crate::sockets::typed::ReadTyped;

/// A connection and its runtime.
pub(crate) struct Ours<T> {
    runtime: Rc<Runtime>,
    conn: Connection<T>,
    prepared: bool,
}

impl<S: Dial> Ours<TokioIo<S>> {
    /// Connects over a stream of the type `S`.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let conn = runtime.block_on(open(place))?;
        Ok(Self { runtime, conn, prepared: false })
    }
}

impl Ours<Socket> {
    /// Connects over TLS by `ConnectionBuilder::dial`, as a program with a connection string does.
    pub(crate) fn dial(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let conn = runtime.block_on(dial(place))?;
        Ok(Self { runtime, conn, prepared: false })
    }
}

impl<T: Transport> Ours<T> {
    fn prepare(&mut self) -> Result<()> {
        if !self.prepared {
            self.conn.parse(Statement("one")).query(ONE).param_types(&[oid::INT4]).finish().sync();
            self.runtime.block_on(async {
                self.conn.flush().await?;
                until_ready(&mut self.conn, 1).await
            })?;
            self.prepared = true;
        }
        Ok(())
    }
}

/// Opens a connection without TLS.
async fn open<S: Dial>(place: &Place) -> Result<Connection<TokioIo<S>>> {
    // `Link::Unix` marks the stream as safe without TLS. TCP streams are safe as well, because the benchmark uses only loopback.
    let builder = ConnectionBuilder::from(config(place)).link(Link::Unix);
    let (conn, _) = builder.connect(S::dial(place).await?).await?;
    Ok(conn)
}

/// Opens a connection with TLS.
async fn dial(place: &Place) -> Result<Connection> {
    let tls = place.tls.as_ref().context("there are no TLS settings")?;
    let (host, port) = place.host_and_port();
    let mut config = config(place).host(Host::new(host, port)).sslmode(SslMode::Require);
    if place.is_bound() {
        config = config.channel_binding(BindingMode::Require);
    }
    let (conn, session) = ConnectionBuilder::from(config).tls(tls.ours.clone()).dial().await?;
    let is_tls_1_3 = session.tls.is_some_and(|tls| tls.version == Some(TlsVersion::V1_3));
    ensure!(is_tls_1_3, "the session does not use TLS 1.3");
    Ok(conn)
}

fn config(place: &Place) -> Config {
    let mut config = Config::new(place.user).database(place.database);
    if let Some(password) = place.password {
        config = config.password(password);
    }
    if let Some(kept) = &place.kept {
        config = config.scram_cache(&kept.cache);
    }
    config
}

/// Calls `recv` for each message, as the programs in the README do, until `syncs` ReadyForQuery messages have arrived. Returns the sum over
/// the values of all rows and over all COPY data.
async fn until_ready<T: Transport>(conn: &mut Connection<T>, syncs: u64) -> Result<u64> {
    let (mut left, mut touch) = (syncs, Touch::default());
    while left > 0 {
        left -= look(conn.recv().await?, &mut touch)?;
    }
    Ok(touch.sum())
}

/// Reads a message. Returns the number of ReadyForQuery messages, which is 0 or 1.
#[inline(always)]
fn look(frame: Frame<'_>, touch: &mut Touch) -> Result<u64> {
    match frame.backend()? {
        Backend::DataRow(row) => {
            let mut seen = *touch;
            for value in row.values {
                seen.value(value?);
            }
            *touch = seen;
        }
        Backend::CopyData(copy) => touch.value(Some(copy.data.0)),
        Backend::ReadyForQuery(_) => return Ok(1),
        Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
        _ => {}
    }
    Ok(0)
}

impl<T: Transport> Ours<T> {
    /// Runs a statement, and reads each row as typed values. `add` adds the values of a row to the sum, which is returned.
    fn read_typed(
        &mut self,
        sql: &str,
        add: impl Fn(&Columns, &DataRow<'_>, &mut Touch) -> Result<()>,
    ) -> Result<u64> {
        let conn = &mut self.conn;
        conn.parse(Statement::UNNAMED).query(sql).finish();
        let bind = conn.bind(Statement::UNNAMED, Portal::UNNAMED).result_formats(&[FormatCode::Binary]);
        bind.finish(()).describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync();
        self.runtime.block_on(async {
            conn.flush().await?;
            let (mut columns, mut touch) = (None, Touch::default());
            loop {
                match (conn.recv().await?.backend()?, &columns) {
                    (Backend::RowDescription(fields), _) => columns = Some(Columns::of_portal(&fields)),
                    (Backend::DataRow(row), Some(columns)) => {
                        let mut seen = touch;
                        add(columns, &row, &mut seen)?;
                        touch = seen;
                    }
                    (Backend::ErrorResponse(error), _) => bail!(error.to_owned()),
                    (Backend::ReadyForQuery(_), _) => return Ok(touch.sum()),
                    _ => {}
                }
            }
        })
    }
}

impl<T: Transport> ReadTyped for Ours<T> {
    fn read_four(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, add_4)
    }

    fn read_twelve(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, add_12)
    }
}

impl<T: Transport> Client for Ours<T> {
    fn wait(&mut self) {
        self.runtime.block_on(poll_fn(|cx| {
            // The result is ignored: an error of the connection is also returned by the next call that receives a message.
            let _ = self.conn.poll_ready(cx);
            Poll::Ready(())
        }));
    }

    fn read_text(&mut self, sql: &str) -> Result<u64> {
        self.conn.query(sql);
        self.runtime.block_on(async {
            self.conn.flush().await?;
            until_ready(&mut self.conn, 1).await
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        self.conn.parse(Statement::UNNAMED).query(sql).finish();
        self.conn
            .bind(Statement::UNNAMED, Portal::UNNAMED)
            .result_formats(&[FormatCode::Binary])
            .execute_and_sync(());
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
            loop {
                match conn.recv().await?.backend()? {
                    Backend::CopyInResponse(_) => break,
                    Backend::ErrorResponse(error) => bail!(error.to_owned()),
                    _ => {}
                }
            }
            for _ in 0..pieces.times {
                if pieces.piece.len() >= PIECE {
                    conn.send_copy_data(pieces.piece).await?;
                    continue;
                }
                conn.copy_data(pieces.piece);
                if conn.outbox().batch().len() >= PIECE {
                    conn.flush().await?;
                }
            }
            conn.copy_done().flush().await?;
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
                    let bind =
                        conn.bind(Statement("one"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]);
                    let params = ((batch + place) as i32,);
                    if pipeline.sync_each {
                        bind.execute_and_sync(params);
                    } else {
                        bind.execute(params);
                    }
                }
                if !pipeline.sync_each {
                    conn.sync();
                }
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
