//! Tests of a client against a server in memory, without a runtime: the two state machines exchange bytes.

mod binding;
mod certificate;
mod first;
mod gss;
mod oauth;
mod passwords;
mod support;
