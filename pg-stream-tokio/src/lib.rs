//! A live PostgreSQL wire protocol connection over Tokio: dialling, and nothing hidden.
