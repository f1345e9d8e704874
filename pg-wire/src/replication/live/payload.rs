//! The forms in which the data of a stream is lent.

use crate::replication::pgoutput::ChangeDecoder;

/// The data of a stream is lent as it is: WAL, or the messages of an output plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// The data of a stream is decoded as changes of pgoutput.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub(super) decoder: ChangeDecoder,
}
