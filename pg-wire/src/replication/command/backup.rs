//! The commands BASE_BACKUP and UPLOAD_MANIFEST.

use core::fmt;

use super::Options;
use super::quote::Literal;

/// `BASE_BACKUP`: requests a base backup, in the syntax of PostgreSQL 15 and later. The command contains only the options that are set.
///
/// The server answers with four parts:
///
/// 1. a row [`BackupPosition`](crate::replication::reply::BackupPosition), the start of the backup;
/// 2. a row [`Tablespace`](crate::replication::reply::Tablespace) for each tablespace;
/// 3. a CopyOutResponse, and then CopyData messages, each with one [`BackupMessage`](crate::replication::BackupMessage);
/// 4. a row [`BackupPosition`](crate::replication::reply::BackupPosition), the end of the backup.
///
/// ```
/// use pg_wire::replication::command::{BaseBackup, Checkpoint, ManifestOption};
///
/// let backup = BaseBackup::new().label("nightly").checkpoint(Checkpoint::Fast).wal(true).manifest(ManifestOption::Yes);
/// assert_eq!(backup.to_string(), "BASE_BACKUP (LABEL 'nightly', CHECKPOINT 'fast', WAL true, MANIFEST 'yes')");
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaseBackup<'a> {
    label: Option<&'a str>,
    target: Option<(&'a str, Option<&'a str>)>,
    progress: Option<bool>,
    checkpoint: Option<Checkpoint>,
    wal: Option<bool>,
    wait: Option<bool>,
    compression: Option<(&'a str, Option<&'a str>)>,
    max_rate: Option<u32>,
    tablespace_map: Option<bool>,
    verify_checksums: Option<bool>,
    manifest: Option<ManifestOption>,
    manifest_checksums: Option<&'a str>,
    incremental: Option<bool>,
}

/// Speed of the checkpoint that the server makes before a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The server makes the checkpoint as fast as possible.
    Fast,
    /// The server spreads the checkpoint over time. This is the server's default.
    Spread,
}

/// Selects whether the server sends a backup manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestOption {
    /// The server sends a manifest.
    Yes,
    /// The server sends no manifest. This is the server's default.
    No,
    /// The server sends a manifest, with all file names in hexadecimal. Intended for tests.
    ForceEncode,
}

impl<'a> BaseBackup<'a> {
    /// Creates the command without options: the server uses its defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the label of the backup.
    pub const fn label(mut self, label: &'a str) -> Self {
        self.label = Some(label);
        self
    }

    /// Sets the target of the backup: `client` (the default), `server`, or `blackhole`, which discards the data. For the target `server`,
    /// the detail is a directory on the server.
    pub const fn target(mut self, target: &'a str, detail: Option<&'a str>) -> Self {
        self.target = Some((target, detail));
        self
    }

    /// Sets whether the server estimates the sizes of the tablespaces before the backup.
    pub const fn progress(mut self, on: bool) -> Self {
        self.progress = Some(on);
        self
    }

    /// Sets the speed of the checkpoint before the backup.
    pub const fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Sets whether the backup contains the WAL that is needed to restore the backup.
    pub const fn wal(mut self, on: bool) -> Self {
        self.wal = Some(on);
        self
    }

    /// Sets whether the server waits until all WAL that the backup needs is archived. On by default.
    pub const fn wait(mut self, on: bool) -> Self {
        self.wait = Some(on);
        self
    }

    /// Sets the method with which the server compresses the backup: `gzip`, `lz4`, `zstd` or `none`. The optional detail is, for example,
    /// `level=3`.
    pub const fn compression(mut self, method: &'a str, detail: Option<&'a str>) -> Self {
        self.compression = Some((method, detail));
        self
    }

    /// Sets the maximum transfer rate in kilobytes per second.
    pub const fn max_rate(mut self, kilobytes: u32) -> Self {
        self.max_rate = Some(kilobytes);
        self
    }

    /// Sets whether the server writes the links of the tablespaces to a file `tablespace_map` instead of sending symbolic links.
    pub const fn tablespace_map(mut self, on: bool) -> Self {
        self.tablespace_map = Some(on);
        self
    }

    /// Sets whether the server verifies the checksums of pages. On by default.
    pub const fn verify_checksums(mut self, on: bool) -> Self {
        self.verify_checksums = Some(on);
        self
    }

    /// Sets whether the server sends a manifest.
    pub const fn manifest(mut self, manifest: ManifestOption) -> Self {
        self.manifest = Some(manifest);
        self
    }

    /// Sets the algorithm of the checksums in the manifest: `NONE`, `CRC32C`, `SHA224`, `SHA256`, `SHA384`, `SHA512`.
    pub const fn manifest_checksums(mut self, algorithm: &'a str) -> Self {
        self.manifest_checksums = Some(algorithm);
        self
    }

    /// Sets whether the backup contains only the changes since an earlier backup. Upload the manifest of the earlier backup first. Requires
    /// PostgreSQL 17.
    pub const fn incremental(mut self, on: bool) -> Self {
        self.incremental = Some(on);
        self
    }
}

impl fmt::Display for BaseBackup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BASE_BACKUP")?;
        let mut options = Options::new(f);
        let text = |options: &mut Options<'_, '_>, name: &str, value: Option<&str>| match value {
            Some(value) => options.put(format_args!("{name} {}", Literal(value))),
            None => Ok(()),
        };
        text(&mut options, "LABEL", self.label)?;
        text(&mut options, "TARGET", self.target.map(|(target, _)| target))?;
        text(&mut options, "TARGET_DETAIL", self.target.and_then(|(_, detail)| detail))?;
        options.switch("PROGRESS", self.progress)?;
        let checkpoint = self.checkpoint.map(|checkpoint| match checkpoint {
            Checkpoint::Fast => "fast",
            Checkpoint::Spread => "spread",
        });
        text(&mut options, "CHECKPOINT", checkpoint)?;
        options.switch("WAL", self.wal)?;
        options.switch("WAIT", self.wait)?;
        text(&mut options, "COMPRESSION", self.compression.map(|(method, _)| method))?;
        text(&mut options, "COMPRESSION_DETAIL", self.compression.and_then(|(_, detail)| detail))?;
        if let Some(kilobytes) = self.max_rate {
            options.put(format_args!("MAX_RATE {kilobytes}"))?;
        }
        options.switch("TABLESPACE_MAP", self.tablespace_map)?;
        options.switch("VERIFY_CHECKSUMS", self.verify_checksums)?;
        let manifest = self.manifest.map(|manifest| match manifest {
            ManifestOption::Yes => "yes",
            ManifestOption::No => "no",
            ManifestOption::ForceEncode => "force-encode",
        });
        text(&mut options, "MANIFEST", manifest)?;
        text(&mut options, "MANIFEST_CHECKSUMS", self.manifest_checksums)?;
        options.switch("INCREMENTAL", self.incremental)?;
        options.finish()
    }
}

/// `UPLOAD_MANIFEST`: uploads the manifest of an earlier backup, which an [incremental](BaseBackup::incremental) backup needs. Requires
/// PostgreSQL 17.
///
/// The server answers with a CopyInResponse. Then send the manifest in CopyData messages, and after them a CopyDone.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-UPLOAD-MANIFEST)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadManifest;

impl fmt::Display for UploadManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UPLOAD_MANIFEST")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_options_that_are_set_are_sent() {
        assert_eq!(BaseBackup::new().to_string(), "BASE_BACKUP");
        let backup = BaseBackup::new()
            .label("it's")
            .target("server", Some("/srv"))
            .progress(true)
            .checkpoint(Checkpoint::Spread)
            .wal(false)
            .wait(false)
            .compression("gzip", Some("level=3"))
            .max_rate(32)
            .tablespace_map(true)
            .verify_checksums(false)
            .manifest(ManifestOption::ForceEncode)
            .manifest_checksums("SHA256")
            .incremental(true);
        assert_eq!(
            backup.to_string(),
            "BASE_BACKUP (LABEL 'it''s', TARGET 'server', TARGET_DETAIL '/srv', PROGRESS true, CHECKPOINT 'spread', WAL false, \
             WAIT false, COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=3', MAX_RATE 32, TABLESPACE_MAP true, \
             VERIFY_CHECKSUMS false, MANIFEST 'force-encode', MANIFEST_CHECKSUMS 'SHA256', INCREMENTAL true)"
        );
    }
}
