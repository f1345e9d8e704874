//! A reader for the outermost fields of an X.509 certificate.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Class, Reader, SliceReader, Tag, TagNumber};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use crate::certificate::error::CertificateError;

impl From<der::Error> for CertificateError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// Hashes a certificate with the hash algorithm of its signature.
pub(super) fn signature_hash(certificate: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    let hash = Certificate::read(certificate)?.signature_hash()?;
    Ok(hash.map(|hash| hash.digest(certificate)))
}

/// The first common name of the subject.
pub(super) fn common_name(certificate: &[u8]) -> Result<Option<&[u8]>, CertificateError> {
    Certificate::read(certificate)?.common_name()
}

/// The contents of the first two fields of a certificate. In ASN.1: `SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`.
struct Certificate<'a> {
    to_be_signed: &'a [u8],
    algorithm: &'a [u8],
}

impl<'a> Certificate<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut outer = SliceReader::new(der)?;
        let certificate = field(&mut outer, Tag::Sequence)?;
        outer.finish()?;
        let mut fields = SliceReader::new(certificate)?;
        let to_be_signed = field(&mut fields, Tag::Sequence)?;
        let algorithm = field(&mut fields, Tag::Sequence)?;
        field(&mut fields, Tag::BitString)?;
        fields.finish()?;
        Ok(Self { to_be_signed, algorithm })
    }

    fn signature_hash(&self) -> Result<Option<Hash>, CertificateError> {
        let mut algorithm = SliceReader::new(self.algorithm)?;
        let name = ObjectIdentifier::from_bytes(field(&mut algorithm, Tag::ObjectIdentifier)?)
            .map_err(|_| CertificateError::Malformed)?;
        if name == RSA_PSS {
            return pss_hash(&mut algorithm);
        }
        Ok(Hash::find(SIGNATURES, name))
    }

    fn common_name(&self) -> Result<Option<&'a [u8]>, CertificateError> {
        let mut fields = SliceReader::new(self.to_be_signed)?;
        // In ASN.1 (RFC 5280): TBSCertificate ::= SEQUENCE { version [0] EXPLICIT, serialNumber, signature, issuer, validity, subject, … }
        context(&mut fields, TagNumber(0))?;
        field(&mut fields, Tag::Integer)?;
        for _ in ["signature", "issuer", "validity"] {
            field(&mut fields, Tag::Sequence)?;
        }
        let mut names = SliceReader::new(field(&mut fields, Tag::Sequence)?)?;
        while !names.is_finished() {
            // In ASN.1 (RFC 5280): RelativeDistinguishedName ::= SET OF SEQUENCE { type OBJECT IDENTIFIER, value }
            let mut set = SliceReader::new(field(&mut names, Tag::Set)?)?;
            while !set.is_finished() {
                let mut pair = SliceReader::new(field(&mut set, Tag::Sequence)?)?;
                let kind = field(&mut pair, Tag::ObjectIdentifier)?;
                let value: AnyRef<'a> = pair.decode()?;
                pair.finish()?;
                if kind == COMMON_NAME.as_bytes() {
                    return Ok(Some(value.value()));
                }
            }
        }
        Ok(None)
    }
}

/// The contents of the next field, which must have this tag.
fn field<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Result<&'a [u8], CertificateError> {
    let value: AnyRef<'a> = reader.decode()?;
    if der::Tagged::tag(&value) == tag { Ok(value.value()) } else { Err(CertificateError::Malformed) }
}

/// The contents of the next field, if it has this context-specific tag.
fn context<'a>(
    reader: &mut SliceReader<'a>,
    number: TagNumber,
) -> Result<Option<&'a [u8]>, CertificateError> {
    if reader.is_finished() {
        return Ok(None);
    }
    let tag = Tag::peek(reader)?;
    if tag.class() != Class::ContextSpecific || tag.number() != number {
        return Ok(None);
    }
    let value: AnyRef<'a> = reader.decode()?;
    Ok(Some(value.value()))
}

/// Reads the hash algorithm of an RSA-PSS signature from its parameters: `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] EXPLICIT
/// AlgorithmIdentifier DEFAULT sha1, … }`. Every field is optional.
fn pss_hash(algorithm: &mut SliceReader<'_>) -> Result<Option<Hash>, CertificateError> {
    // The default is SHA-1, which RFC 5929 replaces by SHA-256.
    let default = Ok(Some(Hash::Sha256));
    if algorithm.is_finished() {
        return default;
    }
    let mut parameters = SliceReader::new(field(algorithm, Tag::Sequence)?)?;
    let Some(hash) = context(&mut parameters, TagNumber(0))? else { return default };
    let mut hash = SliceReader::new(hash)?;
    let mut hash = SliceReader::new(field(&mut hash, Tag::Sequence)?)?;
    let name = ObjectIdentifier::from_bytes(field(&mut hash, Tag::ObjectIdentifier)?)
        .map_err(|_| CertificateError::Malformed)?;
    Ok(Hash::find(DIGESTS, name))
}

#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

impl Hash {
    fn find(table: &[(&str, Self)], name: ObjectIdentifier) -> Option<Self> {
        let known = |(oid, _): &&(&str, Self)| ObjectIdentifier::new(oid) == Ok(name);
        table.iter().find(known).map(|(_, hash)| *hash)
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha224 => Sha224::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
            Self::Sha512_224 => Sha512_224::digest(bytes).to_vec(),
            Self::Sha512_256 => Sha512_256::digest(bytes).to_vec(),
        }
    }
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// The signature algorithms that include a hash algorithm, each with the hash to use for channel binding.
const SIGNATURES: &[(&str, Hash)] = &[
    // RSA with MD5, SHA-1 and the SHA-2 family (RFC 8017).
    ("1.2.840.113549.1.1.4", Hash::Sha256),
    ("1.2.840.113549.1.1.5", Hash::Sha256),
    ("1.2.840.113549.1.1.11", Hash::Sha256),
    ("1.2.840.113549.1.1.12", Hash::Sha384),
    ("1.2.840.113549.1.1.13", Hash::Sha512),
    ("1.2.840.113549.1.1.14", Hash::Sha224),
    ("1.2.840.113549.1.1.15", Hash::Sha512_224),
    ("1.2.840.113549.1.1.16", Hash::Sha512_256),
    // ECDSA with SHA-1 (RFC 3279) and the SHA-2 family (RFC 5758).
    ("1.2.840.10045.4.1", Hash::Sha256),
    ("1.2.840.10045.4.3.1", Hash::Sha224),
    ("1.2.840.10045.4.3.2", Hash::Sha256),
    ("1.2.840.10045.4.3.3", Hash::Sha384),
    ("1.2.840.10045.4.3.4", Hash::Sha512),
    // DSA with SHA-1, SHA-224 and SHA-256.
    ("1.2.840.10040.4.3", Hash::Sha256),
    ("2.16.840.1.101.3.4.3.1", Hash::Sha224),
    ("2.16.840.1.101.3.4.3.2", Hash::Sha256),
];

/// The hash algorithms that an RSA-PSS signature can name, each with the hash to use for channel binding.
const DIGESTS: &[(&str, Hash)] = &[
    // MD5 and SHA-1, then the SHA-2 family.
    ("1.2.840.113549.2.5", Hash::Sha256),
    ("1.3.14.3.2.26", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224),
    ("2.16.840.1.101.3.4.2.5", Hash::Sha512_224),
    ("2.16.840.1.101.3.4.2.6", Hash::Sha512_256),
];
