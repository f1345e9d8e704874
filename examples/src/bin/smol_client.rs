//! A client on smol: implements pg-auth's `Runtime` for smol, with TLS by rustls, and runs a query with parameters.
//!
//! The crate `pg-stream-async-std` already supports smol. This example shows how to support a runtime for which this project has no crate.
//!
//! `cargo run -p examples --bin smol_client -- 'postgres://user:secret@localhost/mydb?sslmode=require'`

use std::error::Error;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::{TlsConnector, client::TlsStream};
use pg_auth::config::SslCertMode;
use pg_auth::connect::ConnectionBuilder;
use pg_auth::runtime::{Offload, Runtime};
use pg_auth::tls::{TlsConnect, TlsRequest, Upgraded};
use pg_auth::{Config, net};
use pg_stream_tokio::rustls::{Rustls, info};
use pg_wire::backend::Backend;
use pg_wire::{Columns, FormatCode, PgProtocol, Portal, Sink, Source, Statement};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

/// Wraps a stream of smol as a transport.
#[derive(Debug)]
struct Io<S>(S);

impl<S: AsyncRead + Unpin> Source for Io<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, space)
    }
}

impl<S: AsyncWrite + Unpin> Sink for Io<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The runtime smol, for which this example implements pg-auth's `Runtime`.
#[derive(Clone, Debug, Default)]
struct Smol;

impl Offload for Smol {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(smol::unblock(job).await)
    }
}

impl Runtime for Smol {
    type Tcp = Io<TcpStream>;
    #[cfg(unix)]
    type Unix = Io<smol::net::unix::UnixStream>;
    #[cfg(not(unix))]
    type Unix = pg_auth::stream::Never;
    type Tls = Tls;

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((name, port)).await
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        let stream = TcpStream::connect(address).await?;
        net::configure(&stream, config)?;
        Ok(Io(stream))
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        #[cfg(unix)]
        return Ok(Io(smol::Async::new_nonblocking(net::unix_socket(path, config)?)?.into()));
        #[cfg(not(unix))]
        net::unix_socket(path, config)
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let late = async {
            smol::Timer::after(limit).await;
            None
        };
        smol::future::or(async { Some(future.await) }, late).await
    }
}

/// Starts TLS by rustls over a stream of smol. The TLS settings come from the connection string.
#[derive(Clone, Debug, Default)]
struct Tls(Rustls);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<Io<S>> for Tls {
    type Stream = Io<TlsStream<S>>;

    async fn upgrade(&self, stream: Io<S>, request: &TlsRequest<'_>) -> io::Result<Upgraded<Self::Stream>> {
        if request.config.tls.cert_mode == SslCertMode::Require {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "sslcertmode=require is not supported here",
            ));
        }
        // `client_config` reads files, so it runs on a thread that may block.
        let (rustls, config, host) = (self.0.clone(), request.config.clone(), request.host.clone());
        let prepare = move || rustls.client_config(&TlsRequest::new(&config, &host));
        let (config, name) = smol::unblock(prepare).await?;
        let stream = TlsConnector::from(config).connect(name, stream.0).await?;
        let info = info(stream.get_ref().1);
        Ok(Upgraded::new(Io(stream)).info(info))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(async {
        let builder = ConnectionBuilder::<Smol, _>::from(examples::config()?);
        let (mut conn, session) = builder.dial().await?;
        println!("logged in {}", examples::channel(&session));

        conn.parse(Statement::UNNAMED).query("SELECT $1::int + $2::int").finish();
        let bind = conn.bind(Statement::UNNAMED, Portal::UNNAMED);
        bind.result_formats(&[FormatCode::Binary]).finish((40i32, 2i32));
        conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
        let mut columns = Columns::default();
        examples::until_ready(&mut conn, |message| {
            match message {
                Backend::RowDescription(description) => columns = Columns::of_portal(&description),
                Backend::DataRow(row) => {
                    let (sum,): (i32,) = columns.decode(&row)?;
                    println!("40 + 2 = {sum}");
                }
                _ => {}
            }
            Ok(())
        })
        .await?;
        conn.terminate().close().await?;
        Ok(())
    })
}
