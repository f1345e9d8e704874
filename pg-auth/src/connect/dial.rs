//! Dials a server: decides the order of hosts, of addresses, and of streams with and without TLS. After a failure, decides which host,
//! address or kind of stream to try next.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use pg_wire::{Connection, SqlState};

use super::builder::ConnectionBuilder;
use super::target::{Verdict, judge};
use super::{ConnectError, ConnectErrorKind, Place};
use crate::address::Address;
use crate::config::{Config, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs};
use crate::error::{AuthError, ConfigError};
use crate::handshake::Handshake;
use crate::link::{Link, TlsInfo};
use crate::oauth::Discovery;
use crate::runtime::Runtime;
use crate::session::Session;
use crate::stream::Stream;
use crate::tls::{TlsConnect, TlsError, TlsRequest, TlsStart, check_alpn, negotiate};

/// A stream that the runtime `R` has dialled. With TLS, this is the stream type of the TLS library `T`.
pub type Dialled<R, T> =
    Stream<<R as Runtime>::Tcp, <R as Runtime>::Unix, <T as TlsConnect<<R as Runtime>::Tcp>>::Stream>;

/// The result of `dial`: a connection over a dialled stream, and the data of its session.
type Made<R, T> = (Connection<Dialled<R, T>>, Session);

/// Selects what to try after a failed attempt: another address, another host, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Try the next address of the same host.
    Address,
    /// Try the next host.
    Host,
    /// Make no further attempt: an attempt with any other host or address would fail with the same error.
    Nowhere,
}

impl<R: Runtime, T: TlsConnect<R::Tcp>> ConnectionBuilder<R, T> {
    /// Connects to the first of the configuration's hosts that can be reached, begins TLS as `sslmode` requires, logs in, and checks
    /// `target_session_attrs`.
    ///
    /// | failure | next attempt |
    /// | --- | --- |
    /// | the name has no address, the server is unreachable, or `connect_timeout` expires | the next address, then the next host |
    /// | `sslmode=prefer`, and TLS does not begin or the login over TLS is rejected | the same address without TLS |
    /// | `sslmode=allow`, and the login without TLS is rejected or a secret may not be sent without TLS | the same address with TLS |
    /// | the server is starting up or shutting down (SQLSTATE 57P03) | the next host |
    /// | the session is not of the kind that `target_session_attrs` demands | the next host |
    /// | anything else: a wrong password, a certificate that is not trusted | nothing: the error is returned |
    ///
    /// # Errors
    /// The error of the last attempt; [`ConnectError::earlier`] returns the errors of all earlier attempts.
    pub async fn dial(&self) -> Result<Made<R, T>, ConnectError> {
        self.config.check()?;
        let hosts = ordered(&self.config.hosts, self.config.load_balance_hosts);
        let mut failed = Vec::new();
        for &wanted in passes(self.config.target_session_attrs) {
            for host in &hosts {
                match self.try_host(host, wanted, &mut failed).await {
                    Ok(made) => return Ok(made),
                    Err(Next::Address | Next::Host) => {}
                    Err(Next::Nowhere) => return Err(last(failed)),
                }
            }
        }
        Err(last(failed))
    }

    async fn try_host(
        &self,
        host: &Host,
        wanted: TargetSessionAttrs,
        failed: &mut Vec<ConnectError>,
    ) -> Result<Made<R, T>, Next> {
        let config = self.config.for_host(host);
        let mut addresses = match self.limited(self.addresses(host)).await {
            Ok(addresses) => addresses,
            Err(error) => {
                failed.push(error.at(Place::new(host)));
                return Err(Next::Host);
            }
        };
        if self.config.load_balance_hosts == LoadBalanceHosts::Random {
            shuffle(&mut addresses);
        }
        let mut next = Next::Host;
        for address in addresses {
            let place = Place { address: Some(address.clone()), ..Place::new(host) };
            let mut before = Vec::new();
            let attempt = self.try_address(&config, &place, wanted, &mut before);
            let outcome = self.limited(attempt).await;
            failed.append(&mut before);
            match outcome {
                Ok(made) => return Ok(made),
                Err(error) => {
                    next = after(&error);
                    failed.push(error.at(place));
                }
            }
            if next != Next::Address {
                break;
            }
        }
        Err(next)
    }

    async fn addresses(&self, host: &Host) -> Result<Vec<Address>, ConnectError> {
        match host {
            Host::Unix { .. } => Ok(host.socket_path().map(Address::Unix).into_iter().collect()),
            Host::Tcp { address: Some(address), port, .. } => {
                Ok(vec![Address::Tcp(SocketAddr::new(*address, *port))])
            }
            Host::Tcp { host, port, .. } => {
                let found = self.runtime.resolve(host, *port).await.map_err(ConnectErrorKind::Resolve)?;
                if found.is_empty() {
                    let none = std::io::Error::other("the name has no address");
                    return Err(ConnectErrorKind::Resolve(none).into());
                }
                Ok(found.into_iter().map(Address::Tcp).collect())
            }
        }
    }

    /// Tries one address, first with the kind of stream that `sslmode` prefers. If this attempt fails and `sslmode` allows a second kind,
    /// puts the failure into `before` and tries the same address with the second kind.
    async fn try_address(
        &self,
        config: &Config,
        place: &Place,
        wanted: TargetSessionAttrs,
        before: &mut Vec<ConnectError>,
    ) -> Result<Made<R, T>, ConnectError> {
        let (first, second) = match &place.address {
            Some(Address::Unix(_)) => (Link::Unix, None),
            _ => links(config.sslmode, T::AVAILABLE)?,
        };
        let error = match self.try_link(config, place, wanted, first, second.is_some()).await {
            Err(error) => error,
            made => return made,
        };
        match second {
            Some(second) if may_retry(&error, first) => {
                before.push(error);
                self.try_link(config, place, wanted, second, false).await
            }
            _ => Err(error),
        }
    }

    /// Tries one address, with or without TLS. If `or_clear` is true and the server declines TLS, logs in without TLS.
    async fn try_link(
        &self,
        config: &Config,
        place: &Place,
        wanted: TargetSessionAttrs,
        link: Link,
        or_clear: bool,
    ) -> Result<Made<R, T>, ConnectError> {
        let mut place = Place { link: Some(link), ..place.clone() };
        let (mut discovery, mut discovered) = (None, false);
        let (mut conn, mut session) = loop {
            let (stream, tls) = match self.open(config, &place, or_clear).await {
                Ok(opened) => opened,
                Err(error) => return Err(error.at(place)),
            };
            place.link = Some(stream.link());
            let handshake = prepared(config, &place, tls, discovery.take());
            match self.login(stream, handshake.map_err(ConnectError::from)?).await {
                Ok(made) => break made,
                // The attempt had no token, so the server has rejected the attempt with the document that names the issuer of tokens. Make
                // one further attempt: the token source receives the document and can return a token.
                Err(error) => match error.auth_error().and_then(AuthError::discovery) {
                    Some(document) if !discovered => {
                        (discovery, discovered) = (Some(document.clone()), true);
                    }
                    _ => return Err(error.at(place)),
                },
            }
        };
        match judge(&mut conn, &session, wanted).await {
            Ok(Verdict::Wanted) => {}
            Ok(Verdict::Other) => {
                return Err(ConnectError::from(ConnectErrorKind::Target(wanted)).at(place));
            }
            Err(error) => return Err(error.at(place)),
        }
        session.host = Some(place.host);
        session.address = place.address;
        Ok((conn, session))
    }

    /// Opens a stream to the address in `place`, with TLS if `place.link` is TLS. If `or_clear` is true and the server declines TLS,
    /// returns a stream without TLS.
    pub(super) async fn open(
        &self,
        config: &Config,
        place: &Place,
        or_clear: bool,
    ) -> Result<(Dialled<R, T>, Option<TlsInfo>), ConnectError> {
        let address = match &place.address {
            Some(Address::Tcp(address)) => *address,
            Some(Address::Unix(path)) => {
                let dialled = self.runtime.dial_unix(path, config).await;
                return Ok((Stream::Unix(dialled.map_err(ConnectErrorKind::Unreachable)?), None));
            }
            None => return Err(ConfigError::Missing("host").into()),
        };
        let dialled = self.runtime.dial_tcp(address, config).await;
        let mut stream = dialled.map_err(ConnectErrorKind::Unreachable)?;
        if place.link != Some(Link::Tls) {
            return Ok((Stream::Tcp(stream), None));
        }
        let start = TlsStart::new(config.sslnegotiation, !or_clear);
        if !negotiate(&mut stream, start).await? {
            return Ok((Stream::Tcp(stream), None));
        }
        let request = TlsRequest::new(config, &place.host);
        let upgraded = self.tls.upgrade(stream, &request).await.map_err(TlsError::Handshake)?;
        check_alpn(config.sslnegotiation == SslNegotiation::Direct, &upgraded.info)?;
        Ok((Stream::Tls(upgraded.stream), Some(upgraded.info)))
    }
}

/// Prepares the client's state machine for a login to the host and the address in `place`.
fn prepared<'c>(
    config: &'c Config,
    place: &Place,
    tls: Option<TlsInfo>,
    discovery: Option<Discovery>,
) -> Result<Handshake<'c>, AuthError> {
    let mut handshake = Handshake::new(config, place.link.unwrap_or(Link::Tcp))?;
    if let Host::Tcp { host, .. } = &place.host {
        handshake = handshake.host(host.as_str());
    }
    if matches!(place.address, Some(Address::Tcp(address)) if address.ip().is_loopback()) {
        handshake = handshake.loopback();
    }
    if let Some(tls) = tls {
        handshake = handshake.tls(tls);
    }
    if let Some(document) = discovery {
        handshake = handshake.discovery(document);
    }
    Ok(handshake)
}

/// The hosts in the order in which to try them.
fn ordered(hosts: &[Host], order: LoadBalanceHosts) -> Vec<&Host> {
    let mut hosts: Vec<&Host> = hosts.iter().collect();
    if order == LoadBalanceHosts::Random {
        shuffle(&mut hosts);
    }
    hosts
}

/// Puts the items in a random order. The random numbers are the seeds of the standard library's hash tables: good enough to spread
/// load, but not secret.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let number = RandomState::new().hash_one(last);
        items.swap(last, (number % (last as u64 + 1)) as usize);
    }
}

/// The kinds of session to look for: `dial` tries all hosts for the first kind, then all hosts for the second kind.
fn passes(wanted: TargetSessionAttrs) -> &'static [TargetSessionAttrs] {
    use TargetSessionAttrs as Attrs;
    match wanted {
        Attrs::ReadWrite => &[Attrs::ReadWrite],
        Attrs::ReadOnly => &[Attrs::ReadOnly],
        Attrs::Primary => &[Attrs::Primary],
        Attrs::Standby => &[Attrs::Standby],
        Attrs::PreferStandby => &[Attrs::Standby, Attrs::Any],
        Attrs::Any => &[Attrs::Any],
    }
}

/// The kind of stream to try first for a host on the network, and the kind to try if the first attempt fails.
fn links(sslmode: SslMode, available: bool) -> Result<(Link, Option<Link>), TlsError> {
    match sslmode {
        SslMode::Disable => Ok((Link::Tcp, None)),
        SslMode::Allow | SslMode::Prefer if !available => Ok((Link::Tcp, None)),
        SslMode::Allow => Ok((Link::Tcp, Some(Link::Tls))),
        SslMode::Prefer => Ok((Link::Tls, Some(Link::Tcp))),
        _ if !available => Err(TlsError::Unavailable),
        _ => Ok((Link::Tls, None)),
    }
}

/// Returns whether to try the second kind of stream. Returns true in three cases:
/// - TLS did not begin, for a reason other than an error of the TLS settings;
/// - the server rejected the login before AuthenticationOk;
/// - a secret may not be sent without TLS.
fn may_retry(error: &ConnectError, first: Link) -> bool {
    let tried = error.place().and_then(|place| place.link);
    match error.kind() {
        // For an error of the TLS settings there is no second attempt: a login without TLS would hide a mistyped file name.
        ConnectErrorKind::Tls(error) => !error.is_of_settings(),
        ConnectErrorKind::Auth(_) if first == Link::Tcp && error.lacks_tls() => true,
        // If the server declined TLS, `try_link` has already tried a login without TLS. So there is no second attempt.
        ConnectErrorKind::Auth(_) => error.is_rejected_login() && tried == Some(first),
        _ => false,
    }
}

fn after(error: &ConnectError) -> Next {
    match error.kind() {
        ConnectErrorKind::Unreachable(_) | ConnectErrorKind::Timeout(_) => Next::Address,
        ConnectErrorKind::Resolve(_) | ConnectErrorKind::Target(_) => Next::Host,
        _ if error
            .server_error()
            .is_some_and(|error| error.sqlstate() == Some(SqlState::CANNOT_CONNECT_NOW)) =>
        {
            Next::Host
        }
        _ => Next::Nowhere,
    }
}

fn last(mut failed: Vec<ConnectError>) -> ConnectError {
    match failed.pop() {
        Some(error) => error.after(failed),
        None => ConfigError::Missing("host").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_of_three_hosts_occurs() {
        let mut seen = std::collections::HashSet::new();
        // 1,000 random orders of three hosts are drawn. There are six orders; the probability that one of them never occurs is less than
        // 10^-78, because this probability is at most 6 * (5/6)^1000.
        for _ in 0..1000 {
            let mut hosts = [1, 2, 3];
            shuffle(&mut hosts);
            seen.insert(hosts);
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn each_sslmode_has_its_order_of_streams() {
        let order = |mode, available| links(mode, available).ok();
        for (mode, expected) in [
            (SslMode::Disable, (Link::Tcp, None)),
            (SslMode::Allow, (Link::Tcp, Some(Link::Tls))),
            (SslMode::Prefer, (Link::Tls, Some(Link::Tcp))),
            (SslMode::Require, (Link::Tls, None)),
            (SslMode::VerifyCa, (Link::Tls, None)),
            (SslMode::VerifyFull, (Link::Tls, None)),
        ] {
            assert_eq!(order(mode, true), Some(expected), "{mode}");
            let optional = matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
            assert_eq!(order(mode, false), optional.then_some((Link::Tcp, None)), "{mode}");
        }
    }
}
