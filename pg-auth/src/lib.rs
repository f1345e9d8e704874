//! The connection phase of the PostgreSQL wire protocol as a machine free of I/O: start-up, negotiation, cleartext, MD5 and SCRAM.
