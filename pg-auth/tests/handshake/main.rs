//! The client's connection phase: what it says to a server, what it believes of one, and what it makes of one that lies.

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
