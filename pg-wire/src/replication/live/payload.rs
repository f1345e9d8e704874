//! The forms in which the data of a stream is lent.

use alloc::boxed::Box;

use crate::replication::live::error::StreamErrorKind;
use crate::replication::pgoutput::{ChangeDecoder, ReceivedChange, Relations, Store, Transactions};
use crate::replication::status::StandbyStatus;
use crate::replication::stream::XLogData;

/// The form in which a stream lends its data: [`Raw`], [`Changes`], or [`Transactions`].
pub trait Payload: sealed::Sealed {
    /// The lent data.
    type Item<'s>
    where
        Self: 's;

    /// Keeps data that is returned later, and notes the positions of the data. Returns `false` for other data, which is not taken.
    #[doc(hidden)]
    fn keep(&mut self, _: &XLogData<'_>, _: &mut StandbyStatus) -> Result<bool, StreamErrorKind> {
        Ok(false)
    }

    /// Whether kept data is left to return.
    #[doc(hidden)]
    fn is_replaying(&self) -> bool {
        false
    }

    /// Returns the next kept data.
    #[doc(hidden)]
    fn replay(&mut self) -> Result<Option<Self::Item<'_>>, StreamErrorKind> {
        Ok(None)
    }

    /// Decodes received data, and notes its positions.
    #[doc(hidden)]
    fn decode<'s>(
        &'s mut self,
        wal: XLogData<'s>,
        status: &mut StandbyStatus,
    ) -> Result<Self::Item<'s>, StreamErrorKind>;
}

/// The data of a stream is lent as it is: WAL, or the messages of an output plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// The data of a stream is decoded as changes of pgoutput.
#[derive(Clone, Debug, Default)]
pub struct Changes(ChangeDecoder);

impl Changes {
    /// The tables that were described so far.
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

    fn decode<'s>(
        &'s mut self,
        wal: XLogData<'s>,
        status: &mut StandbyStatus,
    ) -> Result<XLogData<'s>, StreamErrorKind> {
        if status.is_gap(&wal) {
            return Err(StreamErrorKind::Gap { expected: status.received(), found: wal.start });
        }
        status.data(&wal);
        Ok(wal)
    }
}

impl Payload for Changes {
    type Item<'s> = ReceivedChange<'s>;

    fn decode<'s>(
        &'s mut self,
        wal: XLogData<'s>,
        status: &mut StandbyStatus,
    ) -> Result<ReceivedChange<'s>, StreamErrorKind> {
        let (change, table) = self.0.decode(wal.data.0)?;
        status.data(&wal);
        status.change(&change);
        Ok(ReceivedChange { start: wal.start, time: wal.time, change, table })
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

    fn keep(&mut self, wal: &XLogData<'_>, status: &mut StandbyStatus) -> Result<bool, StreamErrorKind> {
        let Some(change) = self.keep_streamed(wal)? else { return Ok(false) };
        status.data(wal);
        status.change(&change);
        Ok(true)
    }

    fn is_replaying(&self) -> bool {
        Transactions::is_replaying(self)
    }

    fn replay(&mut self) -> Result<Option<ReceivedChange<'_>>, StreamErrorKind> {
        Ok(Transactions::replay(self)?)
    }

    fn decode<'s>(
        &'s mut self,
        wal: XLogData<'s>,
        status: &mut StandbyStatus,
    ) -> Result<ReceivedChange<'s>, StreamErrorKind> {
        let received = self.decode_whole(&wal)?;
        status.data(&wal);
        status.change(&received.change);
        Ok(received)
    }
}
