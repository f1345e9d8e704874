//! Client against server in memory: the two machines talk to each other, and no runtime is there.

mod binding;
mod certificate;
mod first;
mod gss;
mod oauth;
mod passwords;
mod support;
