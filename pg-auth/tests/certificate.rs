//! Tests of the functions that return a certificate's hash for channel binding and its common name.
//!
//! The certificates are in `tests/certificates`; they were created by `openssl req -x509 -newkey … -subj /O=Test/CN=<name> -outform DER`.
//! The expected hashes are from `openssl dgst`.

use pg_auth::certificate::{CertificateError, common_name, server_end_point};

/// The name and the expected hash of each certificate. The hash algorithm is the algorithm in the certificate's signature. For signatures
/// with MD5 or SHA-1, the hash algorithm is SHA-256.
const HASHES: &[(&str, &str)] = &[
    ("rsa-md5", "a00ed5c3f82d1399f2945f55c00526b738beeb522a582641084a2ad6a4af9d4d"),
    ("rsa-sha1", "b521999fa854e51462f12b96f203ff90f0495b584103abf534a7959bd1af27e9"),
    ("rsa-sha224", "cf4b7f350d448d340b47a5ae1fc7fe60017b28d495cbd31973154015"),
    ("rsa-sha256", "20f75a6eee1a17dba1d56b460b7aaed566564028647a7b785691a6801ffb6b8e"),
    (
        "rsa-sha384",
        "4892def7e509cf7737d33a1d89b7ff4e0dbf19868458bfb2fa7c2011cc604e77016496daefc6e8352405a0889f2fbb4f",
    ),
    (
        "rsa-sha512",
        "6145a4620bf6d54df892caadd203f9d6a9f28b80a40db060a3be7a680e69209ef16a57953ebb99e625104aad8dc5673f003baddbfa2e31a5052c031847ed8832",
    ),
    ("rsa-sha512-224", "301b461cfb3ba8b90895876d5a73576936f47227771fb5a0868df70e"),
    ("rsa-sha512-256", "b43d2614993e7db3a5d4d52d5dafebbc223cf186f2ab459f75ca09833d8380b9"),
    ("ecdsa-sha1", "e088a290d97aa65796d7f9741aed1086f002bf204309e6c85d3aaff5ee2887c4"),
    ("ecdsa-sha224", "0fafa1b53ca12ea2d648c7ffcaac475706c4aad4b239c278ee6bce03"),
    ("ecdsa-sha256", "f91c496d7f039f257e9b5503238503aaf08bf8155287349bf8396fb0d8278509"),
    (
        "ecdsa-sha384",
        "9ef87864d880bb6ecef728d3c09b230d09e409f5595c140ad5b5b1394955f5f6d588968cf413cc6df34d4d1854026711",
    ),
    (
        "ecdsa-sha512",
        "46394919676cd8cd3c12641dff8f086a423f0f95719960ee648bbb6c47d6e94453babe39f198449a72ba82787ae41d3558539c325bd40987142ef0ebc59a5a2b",
    ),
    ("pss-sha1", "83071dc923da56431a00d261b839998de95341b156a2a74b382ffb7dfbb50144"),
    ("pss-sha224", "96407a8bc959fb492e640402913275d2dd213c6779de938c47763269"),
    ("pss-sha256", "ce564de4c6c75421d85e9527b44e525ec23f471782aec3fdee0864ff51f0a6fb"),
    (
        "pss-sha384",
        "5d58b1264be16ce4c6b2cca32de455a4beba639e8519d4e700946ff04dabe8ca9972bf1fa642694cfc9bab1e3e0553de",
    ),
    (
        "pss-sha512",
        "73e94a59d5be167726e9689b143c76c92fe3699c7a7d85929a591a4efb313b50587db8aa577427b07f3c07db1ce94e9f29b7c16800ae80d8704a26f58894fd30",
    ),
];

fn certificate(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/certificates/{name}.der", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the file is checked in")
}

fn all() -> impl Iterator<Item = Vec<u8>> {
    let others = ["ed25519", "ed448", "two-names", "nameless", "nul-in-name"];
    HASHES.iter().map(|(name, _)| *name).chain(others).map(certificate)
}

#[test]
fn the_hash_algorithm_is_the_hash_algorithm_of_the_signature() {
    for (name, expected) in HASHES {
        let hash = server_end_point(&certificate(name))
            .expect("the certificate is valid")
            .expect("the certificate has a hash");
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, *expected, "{name}");
    }
}

#[test]
fn a_signature_without_a_hash_algorithm_gives_no_hash() {
    for name in ["ed25519", "ed448"] {
        assert_eq!(server_end_point(&certificate(name)), Ok(None), "{name}");
    }
}

#[test]
fn the_first_common_name_of_the_subject_is_used() {
    for (name, _) in HASHES {
        assert_eq!(common_name(&certificate(name)), Ok(Some(name.as_bytes())));
    }
    assert_eq!(common_name(&certificate("two-names")), Ok(Some(&b"alice"[..])));
    assert_eq!(common_name(&certificate("nameless")), Ok(None));
    assert_eq!(common_name(&certificate("nul-in-name")), Err(CertificateError::NulInName));
}

#[test]
fn a_truncated_certificate_is_an_error() {
    for certificate in all() {
        for end in 0..certificate.len() {
            assert_eq!(server_end_point(&certificate[..end]), Err(CertificateError::Malformed), "{end}");
            assert_eq!(common_name(&certificate[..end]), Err(CertificateError::Malformed), "{end}");
        }
        let longer = [certificate.as_slice(), &[0]].concat();
        assert_eq!(server_end_point(&longer), Err(CertificateError::Malformed));
    }
}

#[test]
fn a_damaged_certificate_is_malformed_or_another_certificate() {
    for certificate in ["rsa-sha256", "pss-sha384", "pss-sha1", "ecdsa-sha512", "two-names"].map(certificate)
    {
        let length = certificate.len();
        for at in 0..length {
            for bit in 0..8 {
                let mut damaged = certificate.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(Some(hash)) = server_end_point(&damaged) {
                    assert!((28..=64).contains(&hash.len()));
                }
                if let Ok(Some(name)) = common_name(&damaged) {
                    assert!(name.len() < length && !name.contains(&0));
                }
            }
            // If this byte is part of a length, 0xff makes the length as large as possible.
            let mut damaged = certificate.clone();
            damaged[at] = 0xff;
            let _ = (server_end_point(&damaged), common_name(&damaged));
        }
    }
}

#[test]
fn bytes_that_are_no_certificate_are_rejected() {
    for bytes in [
        &b""[..],
        b"-----BEGIN CERTIFICATE-----",
        &[0x30],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(server_end_point(bytes), Err(CertificateError::Malformed));
        assert_eq!(common_name(bytes), Err(CertificateError::Malformed));
    }
    // 10,000 nested sequences: a recursive reader would overflow the stack.
    let nested = [0x30, 0x80].repeat(10_000);
    assert_eq!(server_end_point(&nested), Err(CertificateError::Malformed));
}
