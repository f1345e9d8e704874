//! Makes keys and certificates with the program `openssl`. These are the keys and certificates whose file format or kind of signature
//! `rcgen` does not support.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rcgen::KeyPair;

use crate::process;
use crate::servers::certificates::files::{CLIENT_KEY, Files, PASSWORD, RSA_KEY, SERVER_KEY};
use crate::servers::debian::install;
use crate::servers::user::open_to_all;

/// The kinds of signatures of certificates. Each entry is a name, the kind of the signer's key, and options of `openssl`.
///
/// The last column of this table is the hash that channel binding has to use for a certificate with this signature.
///
/// | name | signature | hash for `tls-server-end-point` |
/// | --- | --- | --- |
/// | `rsa-md5`, `rsa-sha1` | RSA, PKCS#1 v1.5 | SHA-256, which replaces weak hashes (RFC 5929, 4.1) |
/// | `rsa-sha224` to `rsa-sha512` | RSA, PKCS#1 v1.5 | the hash in the name |
/// | `pss-sha256` to `pss-sha512` | RSA-PSS | the hash in the name, which is also in the signature's parameters |
/// | `p256-sha256` to `p521-sha512` | ECDSA | the hash in the name, for each curve |
/// | `ed25519` | Ed25519 | not defined |
pub(super) const SIGNATURES: [(&str, &str, &[&str]); 15] = [
    ("rsa-md5", "rsa", &["-md5"]),
    ("rsa-sha1", "rsa", &["-sha1"]),
    ("rsa-sha224", "rsa", &["-sha224"]),
    ("rsa-sha256", "rsa", &["-sha256"]),
    ("rsa-sha384", "rsa", &["-sha384"]),
    ("rsa-sha512", "rsa", &["-sha512"]),
    ("pss-sha256", "rsa", &["-sha256", "-sigopt", PSS, "-sigopt", SALT]),
    ("pss-sha384", "rsa", &["-sha384", "-sigopt", PSS, "-sigopt", SALT]),
    ("pss-sha512", "rsa", &["-sha512", "-sigopt", PSS, "-sigopt", SALT]),
    ("p256-sha256", "p256", &["-sha256"]),
    ("p256-sha512", "p256", &["-sha512"]),
    ("p384-sha384", "p384", &["-sha384"]),
    ("p384-sha256", "p384", &["-sha256"]),
    ("p521-sha512", "p521", &["-sha512"]),
    ("ed25519", "ed25519", &[]),
];

const PSS: &str = "rsa_padding_mode:pss";

/// The option of `openssl` that makes the salt of an RSA-PSS signature as long as the hash. TLS 1.3 requires this length (RFC 8446, 4.2.3);
/// by default `openssl` uses the longest possible salt.
const SALT: &str = "rsa_pss_saltlen:digest";

/// The directory of the certificates of [`SIGNATURES`].
pub(super) const DIRECTORY: &str = "signatures";

/// The kinds of keys, with the arguments of `openssl genpkey`.
const KEYS: [(&str, &[&str]); 5] = [
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    ("ed25519", &["-algorithm", "ED25519"]),
];

/// The configuration file of `openssl`. The system's file is not used, because it may add more extensions to the certificates.
const CONFIGURATION: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// Finds or installs `openssl`, version 3 or newer. Older versions do not have `openssl req -CA`, which signs a certificate with the key of
/// its issuer.
pub(super) fn find() -> Result<()> {
    let version = || process::read(Command::new("openssl").arg("version"));
    if version().is_err() {
        install("openssl").context("the program openssl, which makes certificates, is missing")?;
    }
    let version = version()?;
    let major =
        version.strip_prefix("OpenSSL ").and_then(|number| number.split('.').next()?.parse::<u32>().ok());
    ensure!(major >= Some(3), "OpenSSL 3 or newer is needed, but the PATH has {}", version.trim_end());
    Ok(())
}

/// Makes the keys of the servers and of their clients, in all file formats.
pub(super) fn keys(files: &Files) -> Result<()> {
    files.write_secret(SERVER_KEY, KeyPair::generate()?.serialize_pem())?;
    files.write_secret(CLIENT_KEY, KeyPair::generate()?.serialize_pem())?;
    let [(_, rsa), ..] = KEYS;
    files.write_secret(RSA_KEY, run(files.dir(), &[&["genpkey"], rsa].concat())?)?;
    let encrypted = format!("pass:{PASSWORD}");
    let form = |source: &str, name: &str, options: &[&str]| {
        let key = run(files.dir(), &[&["pkey", "-in", source], options].concat())?;
        files.write_secret(name, key)
    };
    form(RSA_KEY, "client-rsa-pkcs1.key", &["-traditional"])?;
    form(CLIENT_KEY, "client-sec1.key", &["-traditional"])?;
    form(CLIENT_KEY, "client-encrypted.key", &["-aes-256-cbc", "-passout", &encrypted])?;
    form(CLIENT_KEY, "client-sec1-encrypted.key", &["-traditional", "-aes-256-cbc", "-passout", &encrypted])
}

/// Makes the certificates of [`SIGNATURES`].
pub(super) fn signatures(files: &Files) -> Result<()> {
    let dir = files.path(DIRECTORY);
    fs::create_dir(&dir)?;
    open_to_all(&dir)?;
    fs::write(dir.join("openssl.cnf"), CONFIGURATION)?;
    let request = |subject: &str, extensions: &str, options: &[&str]| {
        let common = ["req", "-new", "-x509", "-batch", "-config", "openssl.cnf", "-days", "30"];
        run(&dir, &[&common, &["-subj", subject, "-extensions", extensions][..], options].concat())
    };
    let mut roots = String::new();
    for (kind, options) in KEYS {
        let key = format!("root-{kind}.key");
        files.write_secret(&format!("{DIRECTORY}/{key}"), run(&dir, &[&["genpkey"], options].concat())?)?;
        let root = request(&format!("/CN=xtask {kind} root"), "root", &["-key", &key])?;
        fs::write(dir.join(format!("root-{kind}.crt")), &root)?;
        roots += &root;
    }
    fs::write(dir.join("roots.crt"), roots)?;
    let server_key = format!("../{SERVER_KEY}");
    for (name, kind, options) in SIGNATURES {
        let (root, key) = (format!("root-{kind}.crt"), format!("root-{kind}.key"));
        let signer = ["-key", &server_key, "-CA", &root, "-CAkey", &key];
        let certificate = request("/CN=localhost", "server", &[&signer, options].concat())?;
        fs::write(dir.join(format!("{name}.crt")), certificate)?;
    }
    Ok(())
}

/// Runs `openssl` in this directory and returns its output.
fn run(dir: &Path, arguments: &[&str]) -> Result<String> {
    let mut openssl = Command::new("openssl");
    openssl.args(arguments).current_dir(dir).env_remove("OPENSSL_CONF").stdin(Stdio::null());
    // `process::read` is not used, because it would wait up to 20 ms for the end of each program. `openssl` takes 10 ms, and runs thirty
    // times.
    let output = openssl.output().context("cannot run openssl")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` failed: {}\n{stderr}", process::shown(&openssl), output.status);
    String::from_utf8(output.stdout).context("output of openssl")
}
