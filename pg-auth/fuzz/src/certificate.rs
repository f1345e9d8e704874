use pg_auth::certificate::{common_name, server_end_point};

use crate::secrets::contains;

/// Reads the hash for channel binding and the common name from arbitrary bytes.
pub fn certificate(data: &[u8]) {
    match server_end_point(data) {
        Ok(Some(hash)) => assert!(matches!(hash.len(), 28 | 32 | 48 | 64), "{} bytes", hash.len()),
        Ok(None) => {}
        Err(error) => drop(format!("{error} {error:?}")),
    }
    match common_name(data) {
        Ok(Some(name)) => {
            assert!(name.is_empty() || contains(data, name), "the name is a part of the certificate")
        }
        Ok(None) => {}
        Err(error) => drop(format!("{error} {error:?}")),
    }
}
