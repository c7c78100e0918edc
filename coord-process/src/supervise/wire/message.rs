//! The messages between client and guard, and how they are packed.

use std::{
    ffi::OsString,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    time::Duration,
};

use super::super::Exit;

/// The first byte of a deadline's packet: a later deadline replaces it.
pub(super) const DEADLINE: u8 = b'D';

/// From the client to the guard.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start CMD, with these variables added to the environment.
    Start(Vec<(OsString, OsString)>),
    /// End the tree.
    End,
    /// The tree must be gone by this `CLOCK_BOOTTIME`; `None` removes the deadline.
    Deadline(Option<Duration>),
    /// Send CMD, or its whole process group, a signal. A signal that asks CMD to end starts the
    /// grace period.
    Signal {
        number: i32,
        group: bool,
        ends: bool,
    },
    /// Keep this descriptor open until the tree is gone.
    Keep(OwnedFd),
}

/// From the guard to the client.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// The guard can do its work.
    Ready,
    /// It cannot: the step that failed, and the errno.
    Failed(String, i32),
    /// CMD is running; its process ID is also its group's.
    Started(i32),
    /// CMD could not be started: the errno.
    NotStarted(i32),
    /// CMD was stopped by this signal.
    Stopped(i32),
    /// CMD was not sent this signal, since it had ended.
    Unsent(i32),
    /// The tree is gone: how CMD ended, and why.
    Over(Exit, Cause),
}

/// Why CMD was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended by itself.
    Own,
    /// The client requested it, or died.
    Asked,
    /// The deadline was near.
    Deadline,
}

impl Order {
    /// The packet. The descriptor of [`Keep`](Self::Keep) is sent beside it.
    pub(super) fn packet(&self) -> Vec<u8> {
        let (tag, rest) = match self {
            Self::Start(vars) => (b'S', encode(vars)),
            Self::End => (b'E', Vec::new()),
            Self::Deadline(at) => {
                let nanos = at.map_or(u64::MAX, |at| {
                    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
                });
                (DEADLINE, nanos.to_ne_bytes().to_vec())
            }
            Self::Signal {
                number,
                group,
                ends,
            } => {
                let how = i32::from(*group) | i32::from(*ends) << 1;
                (b'K', numbers(*number, how))
            }
            Self::Keep(_) => (b'F', Vec::new()),
        };
        [&[tag], &rest[..]].concat()
    }

    /// The order in a packet, with the descriptor that came with it. An invalid packet means to end
    /// the tree.
    pub(super) fn read(packet: &[u8], fd: Option<OwnedFd>) -> Self {
        let rest = &packet[1..];
        match (packet[0], fd) {
            (b'S', _) => Self::Start(decode(rest)),
            (DEADLINE, _) => {
                let nanos = rest.try_into().map_or(0, u64::from_ne_bytes);
                Self::Deadline((nanos != u64::MAX).then(|| Duration::from_nanos(nanos)))
            }
            (b'K', _) => {
                let (number, how) = two(rest);
                Self::Signal {
                    number,
                    group: how & 1 != 0,
                    ends: how & 2 != 0,
                }
            }
            (b'F', Some(fd)) => Self::Keep(fd),
            _ => Self::End,
        }
    }
}

impl Report {
    pub(super) fn packet(&self) -> Vec<u8> {
        let (tag, rest) = match self {
            Self::Ready => (b'r', Vec::new()),
            Self::Failed(what, errno) => {
                let rest = [&errno.to_ne_bytes()[..], what.as_bytes()].concat();
                (b'f', rest)
            }
            Self::Started(pid) => (b's', numbers(*pid, 0)),
            Self::NotStarted(errno) => (b'n', numbers(*errno, 0)),
            Self::Stopped(signal) => (b't', numbers(*signal, 0)),
            Self::Unsent(signal) => (b'u', numbers(*signal, 0)),
            Self::Over(Exit::Code(code), cause) => (b'o', numbers(i32::from(*code), *cause as i32)),
            Self::Over(Exit::Signal(signal), cause) => (b'o', numbers(-signal, *cause as i32)),
        };
        [&[tag], &rest[..]].concat()
    }

    pub(super) fn read(packet: &[u8]) -> Self {
        let rest = &packet[1..];
        let (one, other) = two(rest);
        match packet[0] {
            b'r' => Self::Ready,
            b'f' => {
                let what = rest.get(4..).unwrap_or_default();
                Self::Failed(String::from_utf8_lossy(what).into_owned(), one)
            }
            b's' => Self::Started(one),
            b'n' => Self::NotStarted(one),
            b't' => Self::Stopped(one),
            b'u' => Self::Unsent(one),
            _ => {
                let exit = u8::try_from(one).map_or(Exit::Signal(one.wrapping_neg()), Exit::Code);
                Self::Over(exit, Cause::from_number(other))
            }
        }
    }
}

impl Cause {
    fn from_number(number: i32) -> Self {
        [Self::Asked, Self::Deadline]
            .into_iter()
            .find(|cause| *cause as i32 == number)
            .unwrap_or(Self::Own)
    }
}

fn numbers(one: i32, other: i32) -> Vec<u8> {
    [one.to_ne_bytes(), other.to_ne_bytes()].concat()
}

fn two(bytes: &[u8]) -> (i32, i32) {
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, i32::from_ne_bytes)
    };
    (number(0), number(4))
}

/// Names and values, each followed by a NUL, which neither can contain.
fn encode(vars: &[(OsString, OsString)]) -> Vec<u8> {
    let texts = vars.iter().flat_map(|(name, value)| [name, value]);
    texts
        .flat_map(|text| text.as_bytes().iter().copied().chain([0]))
        .collect()
}

fn decode(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let mut texts = bytes
        .split(|byte| *byte == 0)
        .map(|text| OsString::from_vec(text.to_vec()));
    let mut vars = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        vars.push((name, value));
    }
    vars
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_report() -> impl Strategy<Value = Report> {
        let causes = prop::sample::select(&[Cause::Own, Cause::Asked, Cause::Deadline][..]);
        let exits = prop_oneof![
            any::<u8>().prop_map(Exit::Code),
            (1..=64).prop_map(Exit::Signal)
        ];
        prop_oneof![
            Just(Report::Ready),
            ("\\PC{0,20}", any::<i32>()).prop_map(|(what, errno)| Report::Failed(what, errno)),
            any::<i32>().prop_map(Report::Started),
            any::<i32>().prop_map(Report::NotStarted),
            any::<i32>().prop_map(Report::Stopped),
            any::<i32>().prop_map(Report::Unsent),
            (exits, causes).prop_map(|(exit, cause)| Report::Over(exit, cause)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_reported_is_read(report in any_report()) {
            let read = Report::read(&report.packet());
            prop_assert_eq!(format!("{read:?}"), format!("{report:?}"));
        }

        #[test]
        fn what_is_ordered_is_read(
            vars in prop::collection::vec(("[^\0=]{1,8}", "[^\0]{0,8}"), 0..4),
            at in prop::option::of(0..u64::MAX),
            (number, group, ends) in any::<(i32, bool, bool)>(),
        ) {
            let vars: Vec<(OsString, OsString)> =
                vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let at = at.map(Duration::from_nanos);
            let signal = Order::Signal { number, group, ends };
            for order in [Order::Start(vars), Order::Deadline(at), signal, Order::End] {
                let read = Order::read(&order.packet(), None);
                prop_assert_eq!(format!("{read:?}"), format!("{order:?}"));
            }
        }

        #[test]
        fn no_packet_is_too_strange(packet in prop::collection::vec(any::<u8>(), 1..40)) {
            let _ = (Report::read(&packet), Order::read(&packet, None));
        }

        #[test]
        fn no_number_is_too_large_or_too_small(tag in any::<u8>(), one in any::<i32>(), other in any::<i32>()) {
            for one in [one, i32::MIN, i32::MAX] {
                let packet = [&[tag][..], &numbers(one, other)].concat();
                let _ = (Report::read(&packet), Order::read(&packet, None));
            }
        }
    }
}
