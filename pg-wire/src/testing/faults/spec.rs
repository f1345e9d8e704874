//! The text of faults: parser and printer.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::basic::code::MessageCode;
use crate::codec::message::Direction;
use crate::testing::faults::fault::{Action, Copies, Fault, FaultKind, Lie, Place, Which};
use crate::testing::faults::message::{has_count, named};
use crate::testing::faults::table::FaultTable;

/// Error for an invalid text of a [`FaultTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultTableError {
    /// Text of the invalid fault.
    pub fault: String,
    /// Description of the error, with the expected text.
    pub problem: String,
}

impl FromStr for FaultTable {
    type Err = FaultTableError;

    fn from_str(text: &str) -> Result<Self, FaultTableError> {
        let faults = text.split(',').map(str::trim).map(|fault| {
            parse(fault).map_err(|problem| FaultTableError { fault: fault.to_owned(), problem })
        });
        Ok(Self { faults: faults.collect::<Result<Vec<_>, _>>()? })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let mut parts = text.split(':').map(str::trim);
    let (Some(sender), Some(place), Some(action), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("expected SENDER:PLACE:ACTION, as in server:DataRow#3:cut@5".to_owned());
    };
    let sender = match sender {
        "client" => Direction::Frontend,
        "server" => Direction::Backend,
        sender => return Err(format!("the sender is {sender:?}; expected client or server")),
    };
    let place = parse_place(sender, place)?;
    let fault = Fault { sender, action: parse_action(action, &place)?, place };
    let kind = fault.kind();
    match &fault.place {
        Place::Byte(_) if kind.needs_message() => {
            Err(format!("{} needs a message, and the place is a byte", kind.as_str()))
        }
        Place::Message(Which::Code(code) | Which::Named(_, Some(code)), _)
            if kind == FaultKind::Count && !has_count(sender, *code) =>
        {
            Err("this message has no count".to_owned())
        }
        Place::Message(Which::Named(_, None), _) if kind == FaultKind::Count => {
            Err("this packet has no count".to_owned())
        }
        _ => Ok(fault),
    }
}

fn parse_place(sender: Direction, text: &str) -> Result<Place, String> {
    let (name, number) = match text.split_once('#') {
        None => (text, None),
        Some((name, number)) => (name.trim_end(), Some(number.trim_start())),
    };
    if name == "byte" {
        let offset = number.and_then(|number| number.parse().ok());
        return offset.map(Place::Byte).ok_or("expected a number of bytes, as in byte#1000".to_owned());
    }
    let which = match name.as_bytes() {
        b"message" => Which::Any,
        [code] => Which::Code(MessageCode(*code)),
        _ => named(sender, name)
            .ok_or_else(|| format!("the {} sends no message with the name {name:?}", side(sender)))?,
    };
    match number.map(|number| (number, number.parse::<u64>())) {
        None => Ok(Place::Message(which, Some(1))),
        Some(("*", _)) => Ok(Place::Message(which, None)),
        Some((_, Ok(number @ 1..))) => Ok(Place::Message(which, Some(number))),
        Some((number, _)) => {
            Err(format!("{number:?} is not the number of a message: expected 1 or more, or *"))
        }
    }
}

fn parse_action(text: &str, place: &Place) -> Result<Action, String> {
    let (text, at) = match text.split_once('@') {
        None => (text, None),
        Some((text, at)) => {
            let at: usize =
                at.trim().parse().map_err(|_| format!("{at:?} after @ is not a number of bytes"))?;
            (text, Some(at))
        }
    };
    let mut words = text.split_whitespace();
    let (word, argument) = (words.next().unwrap_or_default(), words.next());
    let kind: FaultKind = word.parse().map_err(|error: FaultTableError| error.problem)?;
    if let Some(word) = words.next() {
        return Err(format!("the word {word:?} is not expected"));
    }
    if at.is_some() && (kind.needs_message() || kind == FaultKind::Split) {
        return Err(format!("{word} takes no offset after @"));
    }
    if at.is_some() && matches!(place, Place::Byte(_)) {
        return Err("an offset after @ needs a message, and the place is a byte".to_owned());
    }
    let at = at.unwrap_or(0);
    let plain = |action| match argument {
        None => Ok(action),
        Some(argument) => Err(format!("{word} takes no argument, but {argument:?} is given")),
    };
    let needs = |example: &str| format!("{word} needs an argument, as in {example}");
    match kind {
        FaultKind::Cut => plain(Action::Cut { at }),
        FaultKind::Reset => plain(Action::Reset { at }),
        FaultKind::HalfClose => plain(Action::HalfClose { at }),
        FaultKind::Stall => plain(Action::Stall { at }),
        FaultKind::Duplicate => plain(Action::Duplicate),
        FaultKind::Swap => plain(Action::Swap),
        FaultKind::Delay => {
            let time = argument.and_then(duration).ok_or_else(|| needs("delay 50ms or delay 2s"))?;
            Ok(Action::Delay { time, at })
        }
        FaultKind::Split => match argument.map(str::parse) {
            Some(Ok(size @ 1..)) => Ok(Action::Split { size }),
            _ => Err(needs("split 3: the number of bytes in a piece")),
        },
        FaultKind::Corrupt => match argument.map_or(Ok(1), str::parse) {
            Ok(bytes @ 1..) => Ok(Action::Corrupt { bytes, at }),
            _ => Err("the argument of corrupt is a number of bytes, as in corrupt 4".to_owned()),
        },
        FaultKind::Flood => match argument.map(|word| (word, word.parse())) {
            Some(("endless", _)) => Ok(Action::Flood(Copies::Endless)),
            Some((_, Ok(number @ 1..))) => Ok(Action::Flood(Copies::Number(number))),
            _ => Err(needs("flood 1000 or flood endless")),
        },
        FaultKind::Length => match argument.and_then(lie) {
            Some(lie) if fits(lie, i64::from(i32::MIN), i64::from(u32::MAX)) => Ok(Action::Length(lie)),
            _ => Err(needs("length 3, length +1 or length -1, and a number of at most 4 bytes")),
        },
        FaultKind::Count => match argument.and_then(lie) {
            Some(lie) if fits(lie, i64::from(i16::MIN), i64::from(u16::MAX)) => Ok(Action::Count(lie)),
            _ => Err(needs("count 3, count +1 or count -1, and a number of at most 2 bytes")),
        },
    }
}

/// Parses a time with its unit: `50ms` or `2s`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit): (_, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s')?, Duration::from_secs),
    };
    number.parse().ok().map(unit)
}

/// Parses a wrong number. A number with a sign is the difference between the wrong number and the right number.
fn lie(text: &str) -> Option<Lie> {
    let number = text.parse().ok()?;
    Some(if text.starts_with(['+', '-']) { Lie::By(number) } else { Lie::To(number) })
}

fn fits(lie: Lie, least: i64, most: i64) -> bool {
    let (Lie::To(number) | Lie::By(number)) = lie;
    (least..=most).contains(&number)
}

fn side(sender: Direction) -> &'static str {
    match sender {
        Direction::Frontend => "client",
        Direction::Backend => "server",
    }
}

impl FromStr for FaultKind {
    type Err = FaultTableError;

    /// Parses the word for a kind. The error contains the known words.
    fn from_str(word: &str) -> Result<Self, FaultTableError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            let problem = format!("there is no action {word:?}; expected one of: {known}");
            FaultTableError { fault: word.to_owned(), problem }
        })
    }
}

impl fmt::Display for FaultTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&faults.join(","))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", side(self.sender), self.place, self.action)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (which, number) = match self {
            Self::Byte(offset) => return write!(f, "byte#{offset}"),
            Self::Message(which, number) => (which, number),
        };
        match which {
            Which::Any => f.write_str("message"),
            Which::Code(code) => write!(f, "{}", char::from(code.0)),
            Which::Named(name, _) => f.write_str(name),
        }?;
        match number {
            Some(number) => write!(f, "#{number}"),
            None => f.write_str("#*"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self {
            Self::Cut { at } | Self::Reset { at } | Self::HalfClose { at } | Self::Stall { at } => {
                f.write_str(self.kind().as_str())?;
                at
            }
            Self::Delay { time, at } => {
                write!(f, "delay {}ms", time.as_millis())?;
                at
            }
            Self::Corrupt { bytes, at } => {
                write!(f, "corrupt {bytes}")?;
                at
            }
            Self::Split { size } => return write!(f, "split {size}"),
            Self::Duplicate => return f.write_str("duplicate"),
            Self::Swap => return f.write_str("swap"),
            Self::Flood(Copies::Number(number)) => return write!(f, "flood {number}"),
            Self::Flood(Copies::Endless) => return f.write_str("flood endless"),
            Self::Length(lie) => return write!(f, "length {lie}"),
            Self::Count(lie) => return write!(f, "count {lie}"),
        };
        if *at == 0 { Ok(()) } else { write!(f, "@{at}") }
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(number) => write!(f, "{number}"),
            Self::By(number) => write!(f, "{number:+}"),
        }
    }
}

impl fmt::Display for FaultTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid fault {:?}: {}", self.fault, self.problem)
    }
}

impl core::error::Error for FaultTableError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the text of a table. Returns the text that the table prints, or the text of the error.
    fn again(text: &str) -> String {
        text.parse::<FaultTable>().map_or_else(|error| error.problem, |table| table.to_string())
    }

    #[test]
    fn the_text_of_a_table_is_parsed_to_the_same_table() {
        for text in [
            "server:DataRow#3:cut@5",
            "client:byte#1000:stall",
            "server:message#*:split 1",
            "server:D#2:delay 50ms@7",
            "client:StartupMessage#1:corrupt 4@8",
            "server:AuthenticationOk#1:duplicate",
            "client:SASLResponse#1:half-close",
            "server:byte#0:reset,server:byte#9:split 3,client:byte#1:corrupt 1",
            "server:RowDescription#1:count +1,client:Bind#2:count 65535,server:Z#1:length -1",
            "server:CommandComplete#1:swap,server:ReadyForQuery#2:flood 1000,client:Sync#1:flood endless",
            "server:CopyInResponse#1:count 7,client:Query#1:length 4294967295",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(
            again(" server : DataRow : delay  2s @ 3 , client:Q:cut"),
            "server:DataRow#1:delay 2000ms@3,client:Q#1:cut"
        );
    }

    #[test]
    fn an_invalid_fault_is_an_error_that_contains_the_expected_text() {
        let expected = [
            ("", "expected SENDER:PLACE:ACTION, as in server:DataRow#3:cut@5"),
            ("server:DataRow#3", "expected SENDER:PLACE:ACTION, as in server:DataRow#3:cut@5"),
            ("proxy:message:cut", "the sender is \"proxy\"; expected client or server"),
            ("client:DataRow:cut", "the client sends no message with the name \"DataRow\""),
            (
                "server:AuthenticationWord:cut",
                "the server sends no message with the name \"AuthenticationWord\"",
            ),
            ("server:message#0:cut", "\"0\" is not the number of a message: expected 1 or more, or *"),
            ("server:byte:cut", "expected a number of bytes, as in byte#1000"),
            ("server:byte#-1:cut", "expected a number of bytes, as in byte#1000"),
            ("server:byte#5:swap", "swap needs a message, and the place is a byte"),
            ("server:byte#5:cut@1", "an offset after @ needs a message, and the place is a byte"),
            ("server:message:swap@5", "swap takes no offset after @"),
            ("server:message:split 2@5", "split takes no offset after @"),
            ("server:message:cut@x", "\"x\" after @ is not a number of bytes"),
            ("server:message:cut 5", "cut takes no argument, but \"5\" is given"),
            ("server:message:delay 5 6", "the word \"6\" is not expected"),
            ("server:message:delay 5", "delay needs an argument, as in delay 50ms or delay 2s"),
            (
                "server:message:split 0",
                "split needs an argument, as in split 3: the number of bytes in a piece",
            ),
            ("server:message:corrupt 0", "the argument of corrupt is a number of bytes, as in corrupt 4"),
            ("server:message:flood", "flood needs an argument, as in flood 1000 or flood endless"),
            (
                "server:message:length 4294967296",
                "length needs an argument, as in length 3, length +1 or length -1, and a number of at most 4 bytes",
            ),
            (
                "server:DataRow:count 65536",
                "count needs an argument, as in count 3, count +1 or count -1, and a number of at most 2 bytes",
            ),
            ("server:ReadyForQuery:count 1", "this message has no count"),
            ("client:StartupMessage:count 1", "this packet has no count"),
        ];
        for (text, problem) in expected {
            assert_eq!(again(text), problem, "{text}");
        }
        let error = "server:message:cut,server:message:cot".parse::<FaultTable>().expect_err("no action");
        assert_eq!(
            error.to_string(),
            "invalid fault \"server:message:cot\": there is no action \"cot\"; expected one of: cut, reset, half-close, \
             stall, delay, split, corrupt, duplicate, swap, flood, length, count"
        );
    }
}
