//! GSSAPI and SSPI, as a plug-in: steps over byte strings.
//!
//! Kerberos itself is the business of a library that the caller brings, such as the system's GSSAPI or SSPI. It gives a
//! [`GssContext`], which is fed the peer's tokens and gives ours; the machines carry them. A step may look for tickets on disk or in the
//! network, so each is handed out as a [`GssJob`] to be run where it may block.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/gssapi-auth.html)

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// An error of code that is plugged in.
pub type ContextError = Box<dyn Error + Send + Sync>;

/// One side of a security context in the making.
pub trait GssContext: Send {
    /// Takes the peer's token, `None` in the first step of a client, and gives ours.
    ///
    /// As a client, ask the library for mutual authentication: that the context is established has to mean that the server has proven
    /// itself.
    ///
    /// # Errors
    /// When the context cannot be established; the login ends with this error.
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError>;
}

/// What a step comes to.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GssOutput {
    /// This token is to be sent, and the peer's answer is needed.
    Continue(Vec<u8>),
    /// The context is established.
    Done {
        /// The last token to be sent, if the peer needs one.
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

/// The service that a client wants to prove itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GssTarget {
    /// The service: `krbsrvname`, `postgres` by default.
    pub service: String,
    /// The host connected to.
    pub host: String,
    /// Whether the server may act in the user's name: whether to ask the library for delegated credentials.
    pub delegation: bool,
    /// Whether the server has asked for SSPI, which negotiates between Kerberos and NTLM.
    pub sspi: bool,
}

/// Begins security contexts for a client; a closure is one.
pub trait GssInitiator: Send + Sync {
    /// Begins a context, without a step yet.
    ///
    /// # Errors
    /// When there are no credentials, or the target's name is of no use.
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

/// A [`GssInitiator`] as a configuration holds it. Clones share it, and two are equal when they do.
#[derive(Clone)]
pub struct Gss(Arc<dyn GssInitiator>);

impl Gss {
    /// Wraps an initiator.
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

/// How a server lets a client in by GSSAPI.
pub struct GssLogin {
    context: Box<dyn GssContext>,
    allows: Box<dyn Fn(&str) -> bool + Send>,
}

impl GssLogin {
    /// With the accepting side of a context, and whether a principal, such as `alice@EXAMPLE.COM`, may log in as the user of the
    /// start-up message. Compare the realm too, unless there can be no other.
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

/// The principals that may log in.
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

/// One step, as a value to be run where it may block. It is `Send + 'static` and owns everything it needs.
pub struct GssJob {
    context: Context,
    input: Option<Zeroizing<Vec<u8>>>,
}

enum Context {
    /// To be begun.
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

    /// Does the step.
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

/// The result of a [`GssJob`], to be handed back to the machine that gave the job out.
pub struct GssStepped(pub(crate) Result<(Box<dyn GssContext>, GssOutput), ContextError>);

impl fmt::Debug for GssStepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GssStepped").field("succeeded", &self.0.is_ok()).finish_non_exhaustive()
    }
}
