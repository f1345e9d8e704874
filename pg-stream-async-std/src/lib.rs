//! A live PostgreSQL wire protocol connection over futures-io: async-std, smol and friends.
