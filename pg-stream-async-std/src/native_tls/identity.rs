//! Reading of a certificate and its key, in the form that `native-tls` accepts.

use std::io;
use std::path::Path;

use native_tls::Identity;
use pg_auth::Password;
use pg_auth::pem::rustls_pki_types::{CertificateDer, PrivateKeyDer};
use pg_auth::pem::{self, bad_file};
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::pem::{LineEnding, encode_string};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use sec1::EcPrivateKey;
use zeroize::Zeroizing;

/// Object identifier `rsaEncryption`, from RFC 8017.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Object identifier `id-ecPublicKey`, from RFC 5480.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Reads a certificate chain and its private key. The first certificate of the chain must belong to the private key; this function also
/// returns that certificate in DER. `what` names the certificate in error texts.
pub(super) fn read(
    what: &str,
    chain_file: &Path,
    key_file: &Path,
    password: Option<&Password>,
) -> io::Result<(Identity, Vec<u8>)> {
    let chain = pem::certificates(what, chain_file)?;
    let key = pem::private_key(key_file, password)?;
    let key = pkcs8_pem(&key).ok_or_else(|| {
        bad_file(
            "private key",
            key_file,
            "cannot be converted to PKCS#8: the key is damaged, or does not name its curve",
        )
    })?;
    let text = chain_pem(&chain).ok_or_else(|| bad_file(what, chain_file, "is too long"))?;
    let identity = Identity::from_pkcs8(text.as_bytes(), key.as_bytes()).map_err(|error| {
        let problem = format!("and the key {} cannot be used: {error}", key_file.display());
        bad_file(what, chain_file, problem)
    })?;
    let own = chain.first().map(|first| first.to_vec()).unwrap_or_default();
    Ok((identity, own))
}

fn chain_pem(chain: &[CertificateDer<'_>]) -> Option<String> {
    chain.iter().map(|der| encode_string("CERTIFICATE", LineEnding::LF, der).ok()).collect()
}

/// Converts the key to PKCS#8 in PEM, the only form that `native-tls` accepts.
fn pkcs8_pem(key: &PrivateKeyDer<'_>) -> Option<Zeroizing<String>> {
    let (algorithm, inner) = match key {
        PrivateKeyDer::Pkcs8(key) => {
            return encode_string("PRIVATE KEY", LineEnding::LF, key.secret_pkcs8_der())
                .ok()
                .map(Zeroizing::new);
        }
        PrivateKeyDer::Pkcs1(key) => {
            (AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) }, key.secret_pkcs1_der())
        }
        PrivateKeyDer::Sec1(key) => {
            let parsed = EcPrivateKey::try_from(key.secret_sec1_der()).ok()?;
            return in_pkcs8(
                AlgorithmIdentifierRef {
                    oid: EC,
                    parameters: Some(AnyRef::from(&parsed.parameters?.named_curve()?)),
                },
                key.secret_sec1_der(),
            );
        }
        _ => return None,
    };
    in_pkcs8(algorithm, inner)
}

/// Wraps a key in the PKCS#8 structure.
fn in_pkcs8(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<Zeroizing<String>> {
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key).ok()?);
    SecretDocument::encode_msg(&info).ok()?.to_pem("PRIVATE KEY", LineEnding::LF).ok()
}
