//! Tests of the client's connection phase: the messages that the client sends, the answers that the client accepts, and the invalid answers
//! that it rejects.

mod channel_binding;
mod connect;
mod damage;
mod methods;
mod order;
mod scram;
mod settling;
mod support;
mod versions;
mod wire;
