//! GSSAPI and SSPI as a plug-in: a security context that takes and returns byte strings.
//!
//! The caller supplies a library, for example the system's GSSAPI or SSPI, and wraps the library as a [`GssContext`]. Each step of the
//! context takes a token from the peer and returns a token for the peer. The state machines of this crate send and receive the tokens. A
//! step may look for tickets on disk or over the network. So a state machine returns each step as a [`GssJob`], and the caller runs the job
//! where blocking is allowed.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/gssapi-auth.html)

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The error of a plug-in that the caller supplies, such as a [`GssContext`].
pub type ContextError = Box<dyn Error + Send + Sync>;

/// One side of a security context that is being established.
pub trait GssContext: Send {
    /// Takes a token from the peer, and returns a token for the peer. `input` is `None` in the first step of a client.
    ///
    /// The context of a client must ask the library for mutual authentication, so that the server proves its identity.
    ///
    /// # Errors
    /// The context cannot be established. The login ends with this error.
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError>;
}

/// The result of a step of a security context.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GssOutput {
    /// Send this token; the next step needs the peer's answer.
    Continue(Vec<u8>),
    /// The security context is established.
    Done {
        /// The last token to send; `None` if the peer needs no further token.
        token: Option<Vec<u8>>,
        /// As a server: the client's principal, such as `alice@EXAMPLE.COM`.
        peer: Option<String>,
    },
}

impl fmt::Debug for GssOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue(token) => write!(f, "Continue(*** {} bytes)", token.len()),
            Self::Done { token, peer } => f
                .debug_struct("Done")
                .field("token", &token.as_ref().map(|token| format!("*** {} bytes", token.len())))
                .field("peer", peer)
                .finish(),
        }
    }
}

/// The service to which a client authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GssTarget {
    /// The name of the service: the parameter `krbsrvname`, by default `postgres`.
    pub service: String,
    /// The name of the server's host.
    pub host: String,
    /// Whether to ask the library for delegated credentials, with which the server may act in the user's name.
    pub delegation: bool,
    /// Whether the server has asked for SSPI, which negotiates between Kerberos and NTLM.
    pub sspi: bool,
}

/// Begins security contexts for a client. Closures implement this trait.
pub trait GssInitiator: Send + Sync {
    /// Begins a context, but does not run its first step.
    ///
    /// # Errors
    /// There are no credentials, or the target's name is invalid.
    fn begin(&self, target: &GssTarget) -> Result<Box<dyn GssContext>, ContextError>;
}

impl<F> GssInitiator for F
where
    F: Fn(&GssTarget) -> Result<Box<dyn GssContext>, ContextError> + Send + Sync,
{
    fn begin(&self, target: &GssTarget) -> Result<Box<dyn GssContext>, ContextError> {
        self(target)
    }
}

/// A [`GssInitiator`] as part of a configuration. Clones share the initiator; two values are equal if they share the initiator.
#[derive(Clone)]
pub struct Gss(Arc<dyn GssInitiator>);

impl Gss {
    /// Wraps an initiator, for use in a configuration.
    pub fn new(initiator: impl GssInitiator + 'static) -> Self {
        Self(Arc::new(initiator))
    }
}

impl PartialEq for Gss {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gss {}

impl fmt::Debug for Gss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gss(..)")
    }
}

/// A server's settings for a login by GSSAPI.
pub struct GssLogin {
    context: Box<dyn GssContext>,
    allows: Box<dyn Fn(&str) -> bool + Send>,
}

impl GssLogin {
    /// Makes the settings from the server's side of a security context, and a function that checks principals. `allows` returns whether a
    /// principal, such as `alice@EXAMPLE.COM`, may log in as the user of the start-up message. If several realms are possible, `allows`
    /// must also compare the realm.
    pub fn new(context: Box<dyn GssContext>, allows: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self { context, allows: Box::new(allows) }
    }

    pub(crate) fn into_parts(self) -> (Box<dyn GssContext>, Principals) {
        (self.context, Principals(self.allows))
    }
}

impl fmt::Debug for GssLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GssLogin").finish_non_exhaustive()
    }
}

/// The function that decides whether a principal may log in.
pub(crate) struct Principals(Box<dyn Fn(&str) -> bool + Send>);

impl Principals {
    pub(crate) fn allow(&self, principal: &str) -> bool {
        (self.0)(principal)
    }
}

impl fmt::Debug for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Principals(..)")
    }
}

/// A step of a security context, to be run where blocking is allowed. The job is `Send + 'static` and owns all its data.
pub struct GssJob {
    context: Context,
    input: Option<Zeroizing<Vec<u8>>>,
}

enum Context {
    /// The context does not exist yet: the job begins the context and does its first step.
    New(Gss, GssTarget),
    Begun(Box<dyn GssContext>),
}

impl GssJob {
    pub(crate) fn begin(gss: Gss, target: GssTarget) -> Self {
        Self { context: Context::New(gss, target), input: None }
    }

    pub(crate) fn go_on(context: Box<dyn GssContext>, input: &[u8]) -> Self {
        Self { context: Context::Begun(context), input: Some(Zeroizing::new(input.to_vec())) }
    }

    /// Runs this step of the security context.
    pub fn run(self) -> GssStepped {
        let Self { context, input } = self;
        let step = || {
            let mut context = match context {
                Context::New(gss, target) => gss.0.begin(&target)?,
                Context::Begun(context) => context,
            };
            let output = context.step(input.as_ref().map(|input| input.as_slice()))?;
            Ok((context, output))
        };
        GssStepped(step())
    }
}

impl fmt::Debug for GssJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GssJob").finish_non_exhaustive()
    }
}

/// The result of a [`GssJob`], to be passed to the state machine that returned the job.
pub struct GssStepped(pub(crate) Result<(Box<dyn GssContext>, GssOutput), ContextError>);

impl fmt::Debug for GssStepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GssStepped").field("succeeded", &self.0.is_ok()).finish_non_exhaustive()
    }
}
