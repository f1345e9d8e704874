//! The matrix of logins. Each cell is one login, with one combination of server version, method of authentication, link (the kind of
//! connection), proof (a password, certificate, ticket or token) and settings.
//!
//! | combinations without a cell | why |
//! | --- | --- |
//! | `trust` with a wrong proof or none | the server asks for no proof |
//! | GSSAPI on 18, OAuth on 15 | the server does not support the method |
//! | direct TLS on 15 | PostgreSQL 15 and its libpq do not support direct TLS |
//! | `require_auth` on 15 | libpq 15 does not have this setting |
//! | revoked, expired and foreign certificates over links without TLS | without TLS, the client presents no certificate |

use std::fmt;

use crate::servers::{Server, variable};

/// One cell of the matrix: the settings of one login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) major: u8,
    pub(crate) method: Method,
    pub(crate) link: Link,
    pub(crate) proof: Proof,
    pub(crate) sslmode: &'static str,
    pub(crate) root: Root,
    /// Host name in the settings: [`LOCALHOST`], which the server's certificate contains, or [`ELSEWHERE`], which the certificate does not
    /// contain.
    pub(crate) name: &'static str,
    /// Further settings that are appended to the connection string.
    pub(crate) more: &'static str,
}

/// A role of the test servers, named after its method; see `xtask/src/servers/hba.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Trust,
    Cleartext,
    Md5,
    Scram,
    Cert,
    /// The server asks for SCRAM and for a client certificate.
    CertScram,
    Gss,
    OAuth,
    /// SCRAM; the server allows this role only over TLS.
    TlsOnly,
    /// SCRAM; the server allows this role only without TLS.
    ClearOnly,
    /// A role that does not exist.
    Nobody,
}

/// A kind of connection to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// TCP to a server without TLS.
    Clear,
    /// TCP to a server with TLS. The client allows at most TLS 1.2.
    Tls12,
    /// TCP to a server with TLS. The client requires TLS 1.3.
    Tls13,
    /// TCP with direct TLS: the client sends no SSLRequest.
    Direct,
    Unix,
}

/// The proof that the client presents: a password, certificate, ticket or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Right,
    /// The proof of another role, or an invalid proof.
    Wrong,
    Missing,
    /// A certificate that the server's authority has revoked.
    Revoked,
    /// A certificate that has expired.
    Expired,
    /// A certificate from an authority that the server does not trust.
    Foreign,
}

/// Value of the setting `sslrootcert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    None,
    /// The authority that has signed the server's certificate.
    Right,
    Other,
    /// Path of a file that does not exist.
    NoFile,
}

pub(crate) const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const LINKS: [Link; 5] = [Link::Clear, Link::Tls12, Link::Tls13, Link::Direct, Link::Unix];

/// The name in the certificate of every server.
pub(crate) const LOCALHOST: &str = "localhost";
/// A name that is in no server's certificate.
pub(crate) const ELSEWHERE: &str = "elsewhere.example";

/// Returns all cells of the matrix: the combinations of settings with which the tests log in.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for major in [15, 18] {
        cells.extend(methods(major));
        cells.extend(names(major));
        cells.extend(demands(major));
    }
    cells.retain(|cell| cell.link != Link::Direct || cell.major == 18);
    cells
}

/// Returns a cell for each possible combination of method, link, proof and `sslmode`.
fn methods(major: u8) -> Vec<Cell> {
    use Proof::{Expired, Foreign, Missing, Revoked, Right, Wrong};
    let usual = &[Right, Wrong, Missing][..];
    let mut cells = Vec::new();
    for (method, proofs) in [
        (Method::Trust, &[Right][..]),
        (Method::Cleartext, usual),
        (Method::Md5, usual),
        (Method::Scram, usual),
        (Method::Cert, &[Right, Wrong, Missing, Revoked, Expired, Foreign]),
        (Method::CertScram, usual),
        (Method::TlsOnly, usual),
        (Method::ClearOnly, usual),
        (Method::Nobody, &[Right]),
        (if major == 18 { Method::OAuth } else { Method::Gss }, usual),
    ] {
        for link in LINKS {
            for &proof in proofs {
                if matches!(proof, Revoked | Expired | Foreign) && matches!(link, Link::Clear | Link::Unix) {
                    continue;
                }
                for sslmode in SSLMODES {
                    cells.push(Cell {
                        sslmode,
                        root: Root::usual(sslmode),
                        ..Cell::new(major, method, link, proof)
                    });
                }
            }
        }
    }
    cells
}

/// Returns cells that differ in `sslrootcert` and in the host name.
fn names(major: u8) -> Vec<Cell> {
    let mut cells = Vec::new();
    for link in [Link::Clear, Link::Tls12, Link::Tls13, Link::Direct] {
        for sslmode in SSLMODES {
            for root in [Root::None, Root::Right, Root::Other, Root::NoFile] {
                let cell = Cell { sslmode, root, ..Cell::new(major, Method::Scram, link, Proof::Right) };
                // `methods` already returns the cells with the usual `sslrootcert`.
                if root != Root::usual(sslmode) {
                    cells.push(cell.clone());
                }
                if root == Root::usual(sslmode) || root == Root::Right {
                    cells.push(Cell { name: ELSEWHERE, ..cell });
                }
            }
        }
    }
    cells
}

/// Returns cells that differ in the settings `channel_binding`, `require_auth` and `gssencmode`.
fn demands(major: u8) -> Vec<Cell> {
    let settings: &[&str] = match major {
        15 => &["channel_binding=require", "channel_binding=disable"],
        _ => &[
            "channel_binding=require",
            "channel_binding=disable",
            "require_auth=scram-sha-256",
            "require_auth=md5,password",
            "require_auth=none",
            "require_auth=!scram-sha-256,!none",
        ],
    };
    let mut cells = Vec::new();
    for method in [Method::Trust, Method::Cleartext, Method::Md5, Method::Scram] {
        for link in [Link::Clear, Link::Tls13, Link::Unix] {
            for sslmode in ["disable", "allow", "prefer", "require"] {
                for &more in settings {
                    cells.push(Cell { sslmode, more, ..Cell::new(major, method, link, Proof::Right) });
                }
            }
        }
    }
    if major == 15 {
        for link in [Link::Clear, Link::Tls13] {
            for sslmode in ["disable", "prefer", "require"] {
                let cell = Cell::new(major, Method::Gss, link, Proof::Right);
                cells.push(Cell { sslmode, more: "gssencmode=prefer", ..cell });
            }
        }
    }
    cells
}

impl Cell {
    fn new(major: u8, method: Method, link: Link, proof: Proof) -> Self {
        Self { major, method, link, proof, sslmode: "prefer", root: Root::None, name: LOCALHOST, more: "" }
    }

    /// Returns the server of this cell.
    pub(crate) fn server(&self) -> Server {
        match self.link {
            Link::Clear => Server::without_tls(self.major),
            _ => Server::find(self.major),
        }
    }

    /// Returns the connection string, which is the same for psql and for this crate.
    pub(crate) fn settings(&self) -> String {
        let server = self.server();
        let mut all = vec![format!(
            "dbname=test user={} port={} sslmode={} gssencmode=disable connect_timeout=60",
            self.method.role(),
            server.port,
            self.sslmode
        )];
        all.push(match self.link {
            Link::Unix => format!("host={}", server.socket_dir),
            _ => format!("host={} hostaddr={}", self.name, server.ip),
        });
        all.extend(match self.link {
            Link::Tls12 => Some("ssl_max_protocol_version=TLSv1.2".into()),
            Link::Tls13 => Some("ssl_min_protocol_version=TLSv1.3".into()),
            Link::Direct => Some("sslnegotiation=direct".into()),
            Link::Clear | Link::Unix => None,
        });
        all.extend(match self.root {
            Root::None => None,
            Root::Right => Some(format!("sslrootcert={}", variable("PG_TLS_ROOT"))),
            Root::Other => Some(format!("sslrootcert={}", variable("PG_TLS_OTHER_ROOT"))),
            Root::NoFile => Some("sslrootcert=/nonexistent/root.crt".into()),
        });
        all.extend(self.method.proof(self.proof));
        all.push(self.more.into());
        all.join(" ")
    }
}

impl Root {
    /// Returns the usual value of `sslrootcert`: the authority of the server for `verify-ca` and `verify-full`, `None` for all other modes.
    fn usual(sslmode: &str) -> Self {
        if sslmode.starts_with("verify") { Self::Right } else { Self::None }
    }
}

impl Method {
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Cleartext => "cleartext",
            Self::Md5 => "md5",
            Self::Scram => "scram",
            Self::Cert => "cert",
            Self::CertScram => "certscram",
            Self::Gss => "gss",
            Self::OAuth => "oauth",
            Self::TlsOnly => "tls_only",
            Self::ClearOnly => "clear_only",
            Self::Nobody => "nobody",
        }
    }

    /// Returns the settings that contain the proof. Tickets and tokens are not passed in settings.
    fn proof(self, proof: Proof) -> Vec<String> {
        let certificate = |name: &str| {
            let [cert, key] =
                [format!("PG_CLIENT_{name}"), "PG_CLIENT_KEY".into()].map(|name| variable(&name));
            format!("sslcert={cert} sslkey={key}")
        };
        match (self, proof) {
            (Self::Trust | Self::Gss, _) => vec![],
            (Self::OAuth, _) => {
                vec![format!("oauth_issuer={} oauth_client_id=matrix", variable("PG_OAUTH_ISSUER"))]
            }
            (Self::Cert, _) => match proof {
                Proof::Right => vec![certificate("CERT")],
                Proof::Wrong => vec![certificate("CERTSCRAM_CERT")],
                Proof::Missing => vec![],
                Proof::Revoked => vec![certificate("REVOKED_CERT")],
                Proof::Expired => vec![certificate("EXPIRED_CERT")],
                Proof::Foreign => vec![certificate("OTHER_CERT")],
            },
            (Self::CertScram, Proof::Right) => {
                vec!["password=certscram-secret".into(), certificate("CERTSCRAM_CERT")]
            }
            // The client presents the right password and the certificate of another role.
            (Self::CertScram, Proof::Wrong) => {
                vec!["password=certscram-secret".into(), certificate("CERT")]
            }
            (Self::CertScram, _) => vec!["password=certscram-secret".into()],
            (_, Proof::Right) => vec![format!("password={}-secret", self.role())],
            (_, Proof::Missing) => vec![],
            (_, _) => vec!["password=hunter2".into()],
        }
    }
}

impl Proof {
    /// Returns the file with the Kerberos tickets (credential cache).
    pub(crate) fn tickets(self) -> String {
        match self {
            Self::Right => variable("PG_KRB5_CCACHE"),
            Self::Wrong => variable("PG_KRB5_CCACHE_SOMEBODY"),
            _ => "/nonexistent/ccache".into(),
        }
    }

    /// Returns the bearer token, if the proof is a token.
    pub(crate) fn token(self) -> Option<String> {
        match self {
            Self::Right => Some(variable("PG_OAUTH_TOKEN")),
            Self::Wrong => Some("nonsense".into()),
            _ => None,
        }
    }
}

/// Prints a cell, such as `18 Scram Tls13 Right prefer`, followed by the settings that differ from the usual values.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, method, link, proof, sslmode, root, name, more } = self;
        write!(f, "{major} {method:?} {link:?} {proof:?} {sslmode}")?;
        if *root != Root::usual(sslmode) {
            write!(f, " sslrootcert {root:?}")?;
        }
        if *name != LOCALHOST {
            write!(f, " host {name}")?;
        }
        if !more.is_empty() {
            write!(f, " {more}")?;
        }
        Ok(())
    }
}
