//! Every message of the PostgreSQL wire protocol, both directions, as plain borrowed structs: decode, encode, frames, buffers, trace.
