//! The forms in which the data of a stream is lent.

use alloc::boxed::Box;

use crate::replication::live::error::StreamErrorKind;
use crate::replication::pgoutput::{Change, ChangeDecoder, ReceivedChange, Relations, Store, Transactions};
use crate::replication::stream::XLogData;

/// Form in which a stream lends its data: [`Raw`], [`Changes`], or [`Transactions`].
pub trait Payload: sealed::Sealed {
    /// Type of the lent data.
    type Item<'s>
    where
        Self: 's;

    /// If the data belongs to a transaction in progress, stores the data and returns the change in the data. `replay` returns the stored
    /// data later. For any other data, stores nothing and returns `None`.
    #[doc(hidden)]
    fn keep<'a>(&mut self, _: &XLogData<'a>) -> Result<Option<Change<'a>>, StreamErrorKind> {
        Ok(None)
    }

    /// Whether `replay` has more stored data to return.
    #[doc(hidden)]
    fn is_replaying(&self) -> bool {
        false
    }

    /// Returns the next data that `keep` has stored.
    #[doc(hidden)]
    fn replay(&mut self) -> Result<Option<Self::Item<'_>>, StreamErrorKind> {
        Ok(None)
    }

    /// Decodes received data.
    #[doc(hidden)]
    fn decode<'s>(&'s mut self, wal: XLogData<'s>) -> Result<Self::Item<'s>, StreamErrorKind>;

    /// Returns the pgoutput change in decoded data; `None` if the data was not decoded.
    #[doc(hidden)]
    fn change<'i, 's>(item: &'i Self::Item<'s>) -> Option<&'i Change<'s>>
    where
        Self: 's;
}

/// Lends the data without decoding: WAL, or the messages of an output plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// Lends the data decoded as changes of pgoutput.
#[derive(Clone, Debug, Default)]
pub struct Changes(ChangeDecoder);

impl Changes {
    /// Returns the tables that the server has described so far.
    pub fn relations(&self) -> &Relations {
        self.0.relations()
    }
}

mod sealed {
    use crate::replication::pgoutput::Transactions;

    pub trait Sealed {}
    impl Sealed for super::Raw {}
    impl Sealed for super::Changes {}
    impl<S> Sealed for Transactions<S> {}
}

impl Payload for Raw {
    type Item<'s> = XLogData<'s>;

    fn decode<'s>(&'s mut self, wal: XLogData<'s>) -> Result<XLogData<'s>, StreamErrorKind> {
        Ok(wal)
    }

    fn change<'i, 's>(_: &'i XLogData<'s>) -> Option<&'i Change<'s>>
    where
        Self: 's,
    {
        None
    }
}

impl Payload for Changes {
    type Item<'s> = ReceivedChange<'s>;

    fn decode<'s>(&'s mut self, wal: XLogData<'s>) -> Result<ReceivedChange<'s>, StreamErrorKind> {
        let (change, table) = self.0.decode(wal.data.0)?;
        Ok(ReceivedChange { start: wal.start, time: wal.time, change, table })
    }

    fn change<'i, 's>(item: &'i ReceivedChange<'s>) -> Option<&'i Change<'s>>
    where
        Self: 's,
    {
        Some(&item.change)
    }
}

impl<S> Payload for Transactions<S>
where
    S: Store<Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
{
    type Item<'s>
        = ReceivedChange<'s>
    where
        S: 's;

    fn keep<'a>(&mut self, wal: &XLogData<'a>) -> Result<Option<Change<'a>>, StreamErrorKind> {
        Ok(self.keep_streamed(wal)?)
    }

    fn is_replaying(&self) -> bool {
        Transactions::is_replaying(self)
    }

    fn replay(&mut self) -> Result<Option<ReceivedChange<'_>>, StreamErrorKind> {
        Ok(Transactions::replay(self)?)
    }

    fn decode<'s>(&'s mut self, wal: XLogData<'s>) -> Result<ReceivedChange<'s>, StreamErrorKind> {
        Ok(self.decode_whole(&wal)?)
    }

    fn change<'i, 's>(item: &'i ReceivedChange<'s>) -> Option<&'i Change<'s>>
    where
        S: 's,
    {
        Some(&item.change)
    }
}
