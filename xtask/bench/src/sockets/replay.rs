//! The replay server, which encodes some rows when it starts, and sends these rows as fast as the client reads them.
//!
//! The server answers the statements `replay N text` and `replay N binary`, by the simple or the extended protocol, with N rows of eight
//! columns. After a `COPY … FROM` the server reads and ignores the data. On the first port and on the Unix socket, the server accepts every
//! client without a password. On a second port, clients use TLS and passwords: see [`Front`].

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use pg_wire::backend::{DataRow, FieldDescription, RowDescription};
use pg_wire::{
    Encode, FormatCode, Oid,
    codec::{List, Values},
    oid,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

use super::apart::{self, Side};
use super::front::Front;
use super::place::At;
use crate::micro::decode::runtime;
use crate::micro::source::text;

/// The number of encoded rows. If a client requests more rows, the server sends the same rows again.
const ROWS: usize = 10_000;

/// The number of columns of a row.
pub(crate) const COLUMNS: usize = 8;

/// The types of the columns of a row.
const TYPES: [Oid; COLUMNS] =
    [oid::INT8, oid::TEXT, oid::INT4, oid::TIMESTAMPTZ, oid::BOOL, oid::FLOAT8, oid::TEXT, oid::INT8];

/// A running replay server, which ends with this process.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The TCP address of the port without TLS.
    pub(crate) tcp: At,
    /// The Unix socket of the server.
    pub(crate) unix: At,
    /// The TCP address of the port at which clients use TLS and log in with passwords.
    pub(crate) tls: At,
    _dir: TempDir,
}

impl Replay {
    /// Starts the replay server on a separate thread.
    pub(crate) fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        let path = dir.path().join(".s.PGSQL.5432");
        let (addresses, started) = mpsc::channel();
        let front = Front::new()?;
        thread::Builder::new().name("replay".into()).spawn(move || {
            apart::put_ourselves(Side::Server);
            if let Err(error) = run(&path, front, &addresses) {
                eprintln!("replay: {error:#}");
            }
        })?;
        let [tcp, tls] = started.recv().context("the replay server has not started")?.map(At::Tcp);
        Ok(Self { tcp, unix: At::Unix(dir.path().into(), 5432), tls, _dir: dir })
    }
}

fn run(path: &Path, front: Front, addresses: &mpsc::Sender<[SocketAddr; 2]>) -> Result<()> {
    let canned: &'static Canned = Box::leak(Box::new(Canned::new()?));
    let runtime = runtime()?;
    runtime.block_on(async {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
        let tls = TcpListener::bind(("127.0.0.1", 0)).await?;
        let unix = UnixListener::bind(path)?;
        addresses.send([tcp.local_addr()?, tls.local_addr()?])?;
        loop {
            // The errors of the spawned tasks are ignored: a client may close its connection at any time.
            tokio::select! {
                stream = tcp.accept() => {
                    let (stream, _) = stream?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(serve(stream, canned));
                }
                stream = tls.accept() => {
                    let (stream, _) = stream?;
                    stream.set_nodelay(true)?;
                    let front = front.clone();
                    tokio::spawn(async move { answer(front.accept(stream).await?, &greeting(), canned).await });
                }
                stream = unix.accept() => {
                    let (stream, _) = stream?;
                    tokio::spawn(serve(stream, canned));
                }
            }
        }
    })
}

/// The encoded rows, in text format and in binary format.
struct Canned {
    text: Form,
    binary: Form,
}

/// The encoded rows in one format (text or binary), and their RowDescription.
struct Form {
    /// The encoded RowDescription.
    description: Vec<u8>,
    rows: Vec<u8>,
    /// The offset in `rows` at which each row ends.
    ends: Vec<usize>,
}

impl Canned {
    fn new() -> Result<Self> {
        let binary = |row: usize, column: usize| text(row, column).map(|text| binary(&text, TYPES[column]));
        Ok(Self {
            text: Form::new(FormatCode::Text, |row, column| text(row, column).map(String::into_bytes))?,
            binary: Form::new(FormatCode::Binary, binary)?,
        })
    }
}

/// The binary form of a value. For a timestamp, the result is an arbitrary number with the size of a timestamp.
fn binary(text: &str, oid: Oid) -> Vec<u8> {
    match oid {
        oid::INT4 => text.parse::<i32>().unwrap_or_default().to_be_bytes().into(),
        oid::INT8 => text.parse::<i64>().unwrap_or_default().to_be_bytes().into(),
        oid::FLOAT8 => text.parse::<f64>().unwrap_or_default().to_be_bytes().into(),
        oid::TIMESTAMPTZ => (text.len() as i64).to_be_bytes().into(),
        oid::BOOL => vec![u8::from(text == "t")],
        _ => text.into(),
    }
}

impl Form {
    fn new(format: FormatCode, value: impl Fn(usize, usize) -> Option<Vec<u8>>) -> Result<Self> {
        let fields = TYPES.map(|type_oid| FieldDescription {
            name: "column".into(),
            type_oid,
            type_modifier: -1,
            format,
            ..Default::default()
        });
        let mut description = Vec::new();
        RowDescription { fields: List::from(&fields) }.encode(&mut description)?;
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        for row in 0..ROWS {
            let values: Vec<_> = (0..COLUMNS).map(|column| value(row, column)).collect();
            let values: Vec<_> = values.iter().map(Option::as_deref).collect();
            DataRow { values: Values::from(values.as_slice()) }.encode(&mut rows)?;
            ends.push(rows.len());
        }
        Ok(Self { description, rows, ends })
    }
}

/// The message AuthenticationOk.
const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";

/// The messages after AuthenticationOk: parameters, the cancel key and ReadyForQuery.
fn greeting() -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        ("server_version", "18.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        frame(&mut out, b'S', format!("{name}\0{value}\0").as_bytes());
    }
    frame(&mut out, b'K', &[0, 0, 0, 1, 0, 0, 0, 2]);
    frame(&mut out, b'Z', b"I");
    out
}

fn frame(out: &mut Vec<u8>, code: u8, body: &[u8]) {
    out.push(code);
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
}

/// Parses `replay N text` or `replay N binary`. Returns N and the rows in this format.
fn statement<'c>(sql: &[u8], canned: &'c Canned) -> Result<(usize, &'c Form)> {
    let sql = std::str::from_utf8(sql)?;
    let mut words = sql.trim_end_matches('\0').split_whitespace().skip(1);
    let count = words.next().context("the statement has no number of rows")?.parse()?;
    match words.next() {
        Some("text") => Ok((count, &canned.text)),
        Some("binary") => Ok((count, &canned.binary)),
        _ => bail!("the statement is neither `replay N text` nor `replay N binary`: {sql}"),
    }
}

/// Whether a `COPY … FROM` is running, and by which protocol it was started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copy {
    No,
    Simple,
    Extended,
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, canned: &Canned) -> Result<()> {
    let mut stream = BufReader::new(stream);
    // Declines requests for encryption with `N`. A cancel request also gets an `N`: this loop compares only the first two bytes of the
    // code, which are the same in all these requests. The client of a cancel request then closes the connection.
    loop {
        let length = stream.read_u32().await? as usize;
        let mut body = vec![0; length.saturating_sub(4)];
        stream.read_exact(&mut body).await?;
        if body.starts_with(&[4, 210]) {
            stream.write_all(b"N").await?;
        } else {
            break;
        }
    }
    answer(stream, &[OK, &greeting()].concat(), canned).await
}

/// Serves a client after the connection phase. Sends `greeting` first.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, greeting: &[u8], canned: &Canned) -> Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(greeting).await?;
    stream.flush().await?;
    let (mut out, mut body, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
    let mut copy = Copy::No;
    loop {
        let code = stream.read_u8().await?;
        body.resize((stream.read_u32().await? as usize).saturating_sub(4), 0);
        stream.read_exact(&mut body).await?;
        match code {
            // CopyData: the data of a COPY is ignored.
            b'd' => continue,
            b'c' => {
                frame(&mut out, b'C', b"COPY 0\0");
                if copy == Copy::Simple {
                    frame(&mut out, b'Z', b"I");
                }
                copy = Copy::No;
                stream.write_all(&out).await?;
                out.clear();
            }
            b'Q' if body.starts_with(b"COPY") => {
                frame(&mut out, b'G', &[0, 0, 0]);
                copy = Copy::Simple;
            }
            b'E' if prepared.starts_with(b"COPY") => {
                frame(&mut out, b'G', &[0, 0, 0]);
                copy = Copy::Extended;
            }
            // As in PostgreSQL, a Sync is ignored while the data of a COPY is received.
            b'S' if copy == Copy::Extended => {}
            b'D' if prepared.starts_with(b"COPY") => {
                frame(&mut out, b't', &[0, 0]);
                frame(&mut out, b'n', b"");
            }
            b'Q' => {
                let (count, form) = statement(&body, canned)?;
                out.extend(&form.description);
                send(&mut stream, &mut out, count, form).await?;
                frame(&mut out, b'Z', b"I");
            }
            b'P' => {
                // The body of Parse: name, statement.
                prepared = body.split(|byte| *byte == 0).nth(1).unwrap_or_default().to_vec();
                frame(&mut out, b'1', b"");
            }
            b'D' => {
                if body.first() == Some(&b'S') {
                    frame(&mut out, b't', &[0, 0]);
                }
                out.extend(&statement(&prepared, canned)?.1.description);
            }
            b'B' => frame(&mut out, b'2', b""),
            b'E' => {
                let (count, form) = statement(&prepared, canned)?;
                send(&mut stream, &mut out, count, form).await?;
            }
            b'C' => frame(&mut out, b'3', b""),
            b'S' => frame(&mut out, b'Z', b"I"),
            b'X' => return Ok(()),
            _ => {}
        }
        if matches!(code, b'Q' | b'S' | b'H') {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
    }
}

/// Sends the content of `out`, then `count` rows. Then replaces the content of `out` by CommandComplete, which the caller sends later.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    out: &mut Vec<u8>,
    count: usize,
    form: &Form,
) -> Result<()> {
    stream.write_all(out).await?;
    out.clear();
    for _ in 0..count / ROWS {
        stream.write_all(&form.rows).await?;
    }
    if let Some(last) = (count % ROWS).checked_sub(1) {
        stream.write_all(&form.rows[..form.ends[last]]).await?;
    }
    frame(out, b'C', format!("SELECT {count}\0").as_bytes());
    Ok(())
}
