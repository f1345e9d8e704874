//! Authenticates a client and begins its session, or handles its cancel request.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;

use pg_auth::accept::{Login, fatal, welcome};
use pg_stream_tokio::{Accepted, Acceptor, Connection, TokioIo};
use pg_wire::{Inbox, Limits, Outbox};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::failure::Failure;
use crate::pool::Seat;
use crate::pooler::Pooler;
use crate::settings::Settings;

/// Limits for the login. The buffers are small, because the client is not authenticated when the pooler allocates them.
const LIMITS: Limits = Limits::FRONTEND.read_size(1024).write_retain(0);

/// Serves a connection: routes a cancel request, or logs a client in and serves the client until its session ends.
pub(crate) async fn serve(pooler: Arc<Pooler>, stream: TcpStream) {
    // The future of the login is boxed, so that its memory is freed before the client is served.
    if let Some(client) = Box::pin(login(&pooler, stream)).await {
        client.run(pooler).await;
    }
}

async fn login(pooler: &Arc<Pooler>, stream: TcpStream) -> Option<Client> {
    stream.set_nodelay(true).ok()?;
    let lookup = |startup| std::future::ready(pooler.credentials(&startup));
    // A failed login needs no further step, because `accept` has already sent the reason to the client.
    let (conn, accepted) = Acceptor::new().limits(LIMITS).accept(stream, lookup).await.ok()?;
    match accepted {
        Accepted::Cancel(key) => {
            pooler.cancel(&key).await;
            None
        }
        Accepted::Login(login) => {
            let seat = pooler.seat(login.startup.version()).ok()?;
            match begin(pooler, conn, &seat, login).await {
                Ok(client) => Some(client),
                Err((mut conn, failure)) => {
                    pooler.forget(&seat);
                    if let Some(state) = failure.sqlstate() {
                        fatal(state, &failure.to_string(), conn.outbox_mut());
                        let _ = conn.close().await;
                    }
                    None
                }
            }
        }
    }
}

type Socket = Connection<TokioIo<TcpStream>>;

/// Begins the session of an authenticated client.
async fn begin(
    pooler: &Arc<Pooler>,
    mut conn: Socket,
    seat: &Arc<Seat>,
    login: Login,
) -> Result<Client, (Socket, Failure)> {
    let (settings, parameters) = match parameters(pooler, seat, &login).await {
        Ok(parameters) => parameters,
        Err(failure) => return Err((conn, failure)),
    };
    let startup = &login.startup;
    let pool = pooler.pool(&startup.user().to_string_lossy(), &startup.database().to_string_lossy());
    welcome(parameters.iter().map(|(name, value)| (&**name, &**value)), Some(&seat.key), conn.outbox_mut());
    if conn.flush().await.is_err() {
        return Err((conn, Failure::Gone));
    }
    let (stream, inbox, _) = conn.into_parts();
    let mut early = Inbox::new(Limits::FRONTEND);
    early.extend(inbox.peek());
    Ok(Client {
        stream,
        inbox: (early.buffered() > 0).then_some(early),
        outbox: Outbox::new(0),
        seat: Arc::clone(seat),
        settings: pool.settings.intern(settings),
        pool,
        statements: HashMap::new(),
        unnamed: None,
        versions: 0,
        has_left: false,
    })
}

/// Returns the settings of a client, and the parameters that the pooler reports to this client.
async fn parameters(
    pooler: &Arc<Pooler>,
    seat: &Arc<Seat>,
    login: &Login,
) -> Result<(Settings, Vec<(String, String)>), Failure> {
    let startup = &login.startup;
    let name = |text: pg_wire::Text<'_>| {
        text.to_str().map(str::to_owned).map_err(|_| Failure::Unsupported("a name is not UTF-8".into()))
    };
    let pool = pooler.pool(&name(startup.user())?, &name(startup.database())?);
    if let Some(keys) = &login.keys {
        pool.set_keys(keys.clone());
    }
    let mut wanted = Settings::default();
    for (name, value) in startup.message().parameters.iter() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let is_known = ["user", "database"].contains(&&*name) || name.starts_with("_pq_.");
        if !is_known && !wanted.set(&name, &value) {
            return Err(Failure::Unsupported(format!("unsupported startup parameter: {name}")));
        }
    }
    let defaults = match pool.defaults() {
        Some(defaults) => defaults,
        None => {
            let mut lease = pool.acquire(seat).await?;
            if lease.server().is_none() {
                lease.connect(pooler).await?;
            }
            lease.release();
            pool.defaults().ok_or(Failure::Gone)?
        }
    };
    let mut settings: Settings = defaults.iter().map(|(name, value)| (&**name, &**value)).collect();
    let unchanged = settings.clone();
    for (name, value) in wanted.iter() {
        settings.set(name, value);
    }
    // The server must check the values of the client's settings, and report them in the server's own form. No check is needed if only
    // application_name differs from the defaults, because every value of application_name is valid.
    let mut checked = unchanged;
    checked.set("application_name", settings.get("application_name").unwrap_or_default());
    if checked != settings {
        let settings_to_check = Arc::new(settings);
        let mut lease = pool.acquire(seat).await?;
        if lease.server().is_none() {
            lease.connect(pooler).await?;
        }
        let Some(server) = lease.server() else { return Err(Failure::Gone) };
        server.session.begin(&settings_to_check)?;
        while !server.is_idle() {
            poll_fn(|cx| {
                let _ = server.poll_flush(cx)?;
                server.poll_replies(cx, None)
            })
            .await?;
        }
        settings = server.session.settings();
        lease.release();
    }
    let mut parameters = Vec::clone(&defaults);
    for (name, value) in &mut parameters {
        if let Some(set) = settings.get(name) {
            value.clone_from(&set.to_owned());
        }
    }
    Ok((settings, parameters))
}
