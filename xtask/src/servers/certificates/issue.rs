//! Makes certificates and revocation lists with `rcgen`.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};

use crate::servers::certificates::files::{CLIENT_KEY, Files, RSA_KEY, SERVER_KEY};

/// The names of this machine in a server's certificate.
const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes every certificate and revocation list. Precondition: the keys of the servers and of the clients exist.
pub(super) fn all(files: &Files) -> Result<()> {
    let read =
        |name: &str| -> Result<KeyPair> { Ok(KeyPair::from_pem(&fs::read_to_string(files.path(name))?)?) };
    let mut root = Authority::new("xtask root")?;
    let mut other = Authority::new("xtask other root")?;
    for (authority, name) in [(&root, "root"), (&other, "other-root")] {
        files.write(&format!("{name}.crt"), authority.issuer.pem())?;
        files.write_secret(&format!("{name}.key"), authority.issuer.key().serialize_pem())?;
    }

    let key = read(SERVER_KEY)?;
    let server = |names: &[&str]| named("localhost", names, ExtendedKeyUsagePurpose::ServerAuth);
    let elsewhere = named("elsewhere.example", &["elsewhere.example"], ExtendedKeyUsagePurpose::ServerAuth)?;
    files.write("server.crt", root.sign(server(&LOCAL)?, &key)?)?;
    files.write("server-expired.crt", root.sign(expired(server(&LOCAL)?), &key)?)?;
    files.write("server-elsewhere.crt", root.sign(elsewhere, &key)?)?;
    files.write("server-common-name.crt", root.sign(server(&[])?, &key)?)?;
    files.write("server-other.crt", other.sign(server(&LOCAL)?, &key)?)?;
    files.write("server-revoked.crt", root.sign(server(&LOCAL)?, &key)?)?;
    files.write("root.crl", root.revoke_last()?)?;

    let key = read(CLIENT_KEY)?;
    files.write_secret("client.der", key.serialized_der())?;
    let client = |role: &str| named(role, &[], ExtendedKeyUsagePurpose::ClientAuth);
    files.write("client.crt", root.sign(client("cert")?, &key)?)?;
    files.write("client-rsa.crt", root.sign(client("cert")?, &read(RSA_KEY)?)?)?;
    files.write("client-certscram.crt", root.sign(client("certscram")?, &key)?)?;
    files.write("client-expired.crt", root.sign(expired(client("cert")?), &key)?)?;
    files.write("client-other.crt", other.sign(client("cert")?, &key)?)?;
    files.write("client-revoked.crt", root.sign(client("cert")?, &key)?)?;
    files.write("server.crl", root.revoke_last()?)
}

/// A certificate authority: a root certificate with its key.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The serial number of the last certificate. rcgen would derive the number from the key, so certificates with the same key would have
    /// the same number. Then a revocation of one would revoke all of them.
    serial: u8,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from_slice(&[1]));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, serial: 1 })
    }

    /// Signs a certificate with the content `params` for the public key of `key`. Returns the certificate in PEM.
    fn sign(&mut self, mut params: CertificateParams, key: &KeyPair) -> Result<String> {
        self.serial += 1;
        params.serial_number = Some(SerialNumber::from_slice(&[self.serial]));
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// Makes a revocation list with one entry, the certificate that was signed last. Returns the list in PEM.
    fn revoke_last(&self) -> Result<String> {
        let now = SystemTime::now();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[self.serial]),
            revocation_time: (now - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + 30 * DAY).into(),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

/// Returns the content of a certificate that is valid now. `purpose` is the use that the certificate allows: by a server or by a client.
fn named(common: &str, alternatives: &[&str], purpose: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
    let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name = common_name(common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.not_before = (SystemTime::now() - 3 * DAY).into();
    params.not_after = (SystemTime::now() + 30 * DAY).into();
    Ok(params)
}

/// Changes the content of a certificate so that its validity ended yesterday.
fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = (SystemTime::now() - DAY).into();
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
