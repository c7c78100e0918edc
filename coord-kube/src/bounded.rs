//! Limits the size of answers, so that they cannot fill the memory.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tower::BoxError;

/// The maximum length of an answer, and of a line of a watch.
///
/// A ConfigMap has at most 1 MiB (`kubectl explain configmap.data`), and JSON may need six bytes
/// for one byte (RFC 8259 section 7). The rest is for metadata.
pub(super) const LONGEST: u64 = 8 << 20;

/// The body of an answer, which fails when it gets too long.
pub(super) struct Bounded<B> {
    body: B,
    unit: Unit,
    /// How long the current unit is so far.
    length: u64,
}

/// The unit that must not be too long.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Whole,
    /// Each line of a watch, since a watch as a whole has no end.
    Line,
}

/// The answer, or a line of it, is too long.
#[derive(Debug)]
pub(super) struct TooLong(Unit);

impl<B> Bounded<B> {
    /// Limits the length of the whole body.
    pub(super) fn whole(body: B) -> Self {
        Self::new(body, Unit::Whole)
    }

    /// Limits the length of each line.
    pub(super) fn lines(body: B) -> Self {
        Self::new(body, Unit::Line)
    }

    fn new(body: B, unit: Unit) -> Self {
        Self {
            body,
            unit,
            length: 0,
        }
    }

    fn is_too_long(&mut self, data: &[u8]) -> bool {
        let mut lines = data.split(|&byte| byte == b'\n' && self.unit == Unit::Line);
        self.length += length(lines.next().unwrap_or_default());
        let mut too_long = self.length > LONGEST;
        for line in lines {
            self.length = length(line);
            too_long |= self.length > LONGEST;
        }
        too_long
    }
}

fn length(bytes: &[u8]) -> u64 {
    bytes.len().try_into().unwrap_or(u64::MAX)
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = frame else {
            return frame.map_err(Into::into);
        };
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        if self.is_too_long(data) {
            return Poll::Ready(Some(Err(TooLong(self.unit).into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            Unit::Whole => "answer",
            Unit::Line => "line of the watch",
        };
        write!(f, "the {what} is longer than {} MiB", LONGEST >> 20)
    }
}

impl std::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_one_by_one_across_frames() {
        let half = vec![b'x'; 5 << 20];
        let mut line_end = half.clone();
        line_end[7] = b'\n';
        let mut lines = Bounded::lines(());
        assert!(!lines.is_too_long(&half));
        assert!(!lines.is_too_long(&line_end));
        assert!(lines.is_too_long(&half));
        let mut whole = Bounded::whole(());
        assert!(!whole.is_too_long(&half));
        assert!(whole.is_too_long(&line_end));
    }
}
