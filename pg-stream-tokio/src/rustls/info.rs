//! Reads facts about a TLS channel from rustls.

use pg_auth::link::{TlsInfo, TlsVersion};
use tokio_rustls::rustls::CommonState;

/// Returns the facts about a TLS channel, for [`Upgraded::info`](pg_auth::tls::Upgraded::info). Intended for callers that drive rustls
/// themselves, with [`Rustls::client_config`](super::Rustls::client_config).
pub fn info(state: &CommonState) -> TlsInfo {
    let mut info = TlsInfo::default();
    info.certificate = state.peer_certificates().and_then(<[_]>::first).map(|first| first.to_vec());
    info.alpn = state.alpn_protocol().map(<[u8]>::to_vec);
    info.version = state.protocol_version().and_then(|version| TlsVersion::from_wire(version.into()));
    info
}
