//! Small programs that people would really run, one a file in `src/bin`, and the two things that most of them need.

use std::error::Error;

use pg_auth::{Session, TlsVersion};
use pg_stream_tokio::Config;
use pg_wire::backend::Backend;
use pg_wire::{Connection, Transport};

/// The connection string that the program was given: its argument, or else `DATABASE_URL`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn config() -> Result<Config, Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    Ok(url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?)
}

/// The channel of a session in words: "over TLSv1.3, bound to the login" or "in clear".
pub fn channel(session: &Session) -> String {
    let Some(tls) = &session.tls else { return "in clear".into() };
    let version = tls.version.map_or("TLS", TlsVersion::as_str);
    let bound = if session.channel_bound { ", bound to the login" } else { "" };
    format!("over {version}{bound}")
}

/// Receives up to the next ReadyForQuery, and hands every message before it to `each`.
///
/// What fails on the way, at the server or in `each`, is told at the end and not before: the connection is then ready for
/// the next query. Notices and changed parameters may stand between any two messages; whoever does not want them passes
/// them over with `_ => {}`.
///
/// ```
/// use pg_wire::{Connection, Limits, PgProtocol, backend::Backend, testing::{Script, block_on}};
///
/// # block_on(async {
/// // In place of a socket: what a server would say.
/// let socket = Script::says(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
///
/// conn.query("SELECT 1").flush().await?;
/// let mut rows = None;
/// examples::until_ready(&mut conn, |message| {
///     if let Backend::CommandComplete(done) = message {
///         rows = done.rows();
///     }
///     Ok(())
/// })
/// .await?;
/// assert_eq!(rows, Some(1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The server's first ErrorResponse or the first error of `each`, whichever came before; and when the connection fails,
/// with the server's own last word about it where there was one.
pub async fn until_ready<T: Transport>(
    conn: &mut Connection<T>,
    mut each: impl FnMut(Backend<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut failure = None;
    loop {
        let frame = match conn.recv().await {
            Ok(frame) => frame,
            Err(error) => return Err(failure.unwrap_or_else(|| error.into())),
        };
        let outcome = match frame.backend()? {
            Backend::ReadyForQuery(_) => return failure.map_or(Ok(()), Err),
            Backend::ErrorResponse(error) => Err(error.to_owned().into()),
            message => each(message),
        };
        if let Err(error) = outcome {
            failure.get_or_insert(error);
        }
    }
}
