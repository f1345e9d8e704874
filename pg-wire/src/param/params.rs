//! The parameters of one message.

use alloc::vec::Vec;

use crate::basic::length::MAX_LENGTH;
use crate::param::bindable::Bindable;
use crate::param::bound::Written;
use crate::param::formats::Mixed;

/// The parameters of one Bind, or the arguments of one FunctionCall:
///
/// - a tuple of up to 16 [`Bindable`]s, with formats and sizes that the compiler knows; `()` for no parameters;
/// - a slice, an array or a `Vec` of [`Bindable`]s of one type;
/// - `&[&dyn Bindable]`, which [`params!`](crate::params) creates, for mixed types that are known only at run time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a statement",
    note = "a single parameter is written `(value,)`, and none is `()`",
    note = "values that can be bound are listed at `Bindable`; PostgreSQL has no unsigned `int8`: use an `i64`"
)]
pub trait Params {
    /// Whether the compiler can inline the computation of all lengths. If `true`, as for a tuple, the writer computes the lengths first and
    /// then writes without further bounds checks. If `false`, as for a slice, the writer checks for each value whether the value fits.
    const KNOWN: bool = false;

    /// Returns the number of parameters. [`each`](Self::each) must visit exactly this number of parameters.
    fn count(&self) -> usize;

    /// Passes each parameter to `visit`, in order. This method is called more than once for each message, and must visit the same values
    /// each time.
    fn each(&self, visit: &mut impl VisitParam);

    /// Writes the parameters to the beginning of `room` in the form that a Bind has, and returns the number of bytes. Returns `None` if the
    /// parameters do not fit or cannot be sent. Implementations need not provide this method.
    ///
    /// `F` writes any parameters field by field. Slices have a fast path, and call `F` only if the fast path fails.
    #[doc(hidden)]
    #[inline(always)]
    fn write_to<F: FieldByField>(&self, room: &mut [u8]) -> Option<usize> {
        F::write(self, room)
    }
}

/// Writes any parameters field by field, for [`Params::write_to`].
#[doc(hidden)]
pub trait FieldByField {
    /// Writes the parameters to the beginning of `room`, and returns the number of bytes. Returns `None` if the parameters do not fit or
    /// cannot be sent.
    fn write<T: Params + ?Sized>(params: &T, room: &mut [u8]) -> Option<usize>;
}

/// A visitor of parameters, for [`Params::each`].
pub trait VisitParam {
    /// Visits the next parameter.
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B);
}

impl<T: Bindable> Params for [T] {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        for value in self {
            visit.visit(value);
        }
    }

    #[inline(always)]
    fn write_to<F: FieldByField>(&self, room: &mut [u8]) -> Option<usize> {
        write_slice::<T, F>(self, room)
    }
}

impl<T: Bindable, const N: usize> Params for [T; N] {
    #[inline]
    fn count(&self) -> usize {
        N
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        self.as_slice().each(visit);
    }

    #[inline(always)]
    fn write_to<F: FieldByField>(&self, room: &mut [u8]) -> Option<usize> {
        write_slice::<T, F>(self, room)
    }
}

impl<T: Bindable> Params for Vec<T> {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        self.as_slice().each(visit);
    }

    #[inline(always)]
    fn write_to<F: FieldByField>(&self, room: &mut [u8]) -> Option<usize> {
        write_slice::<T, F>(self, room)
    }
}

impl<P: Params + ?Sized> Params for &P {
    const KNOWN: bool = P::KNOWN;

    #[inline]
    fn count(&self) -> usize {
        (**self).count()
    }

    #[inline]
    fn each(&self, visit: &mut impl VisitParam) {
        (**self).each(visit);
    }

    #[inline(always)]
    fn write_to<F: FieldByField>(&self, room: &mut [u8]) -> Option<usize> {
        (**self).write_to::<F>(room)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: Bindable),*> Params for ($($name,)*) {
            const KNOWN: bool = true;

            #[inline(always)]
            fn count(&self) -> usize {
                <[&str]>::len(&[$(stringify!($name)),*])
            }

            #[inline(always)]
            #[allow(non_snake_case, unused_variables)]
            fn each(&self, visit: &mut impl VisitParam) {
                let ($($name,)*) = self;
                $(visit.visit($name);)*
            }
        })*
    };
}

tuples! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O Q)
}

/// Creates parameters of mixed types, as a `&[&dyn Bindable]`.
///
/// ```
/// use pg_wire::{PgProtocol, Portal, Statement, params};
///
/// let name = String::from("Ada");
/// let mut out = Vec::new();
/// out.bind(Statement::UNNAMED, Portal::UNNAMED).finish(params![1i32, name, None::<bool>])?;
/// # Ok::<_, pg_wire::EncodeError>(())
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::Bindable),*] as &[&dyn $crate::Bindable]
    };
}

/// Fast path for slices. Writes the parameters to the beginning of `room` in the form that a Bind has: Int16 n, Int16\[n\] formats, Int16
/// m, m values. Returns the number of bytes, or `None` if the parameters do not fit or cannot be sent. After `None`, `room` may contain a
/// part of the parameters.
///
/// The function calls `write_to` once for each parameter. The call writes the value and returns its format. Before the values, the function
/// reserves one format code for each parameter. If all parameters have the same format, the message needs at most one code. Then the
/// function moves the values to the front, over the unused codes.
///
/// Inlined, so that the compiler can devirtualise the calls where the values are constructed next to this call, as with
/// [`params!`](crate::params).
#[inline(always)]
fn write_slice<T: Bindable, F: FieldByField>(params: &[T], room: &mut [u8]) -> Option<usize> {
    let count = u16::try_from(params.len()).ok()?;
    // Offset of the first value: after the count, the format codes and the second count.
    let start = 4 + 2 * usize::from(count);
    let most = room.len().min(MAX_LENGTH);
    let Some((head, mut rest)) = room.get_mut(..most)?.split_at_mut_checked(start) else {
        return F::write(params, room);
    };
    let (places, _) = head.get_mut(2..)?.as_chunks_mut();
    let mut all = Written::NONE;
    for (value, place) in params.iter().zip(places) {
        let written = value.write_to(rest);
        all.add_formats(written);
        *place = written.formats().code();
        match rest.get_mut(written.length()..) {
            Some(next) => rest = next,
            // The parameters do not fit if each parameter has its own format code. If all parameters have the same format, `F` writes at
            // most one code, so the parameters may still fit.
            None => return F::write(params, room),
        }
    }
    let values = start..most - rest.len();
    let [high, low] = count.to_be_bytes();
    let head = match all.formats().in_common() {
        Err(Mixed) => {
            *room.first_chunk_mut()? = [high, low];
            *room.get_mut(start - 2..)?.first_chunk_mut()? = [high, low];
            return Some(values.end);
        }
        Ok(None) => {
            *room.first_chunk_mut()? = [0, 0, high, low];
            4
        }
        Ok(Some(format)) => {
            let [format_high, format_low] = format.code().to_be_bytes();
            *room.first_chunk_mut()? = [0, 1, format_high, format_low, high, low];
            6
        }
    };
    let length = values.len();
    if head < start {
        room.copy_within(values, head);
    }
    Some(head + length)
}
