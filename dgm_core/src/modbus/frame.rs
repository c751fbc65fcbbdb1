//! MBAP frames: cuts a TCP byte stream into PDUs and back, however the bytes were split.
//!
//! ```text
//! transaction u16 │ protocol u16 = 0 │ length u16 = 2..=254 │ unit u8 │ pdu
//! ```
//!
//! A stream with another protocol id or length cannot be re-synchronised: the decoder stays failed and the caller
//! closes. It keeps at most one frame plus what the caller pushed last.

const HEADER: usize = 6;
/// Where the length field stands.
const LENGTH_AT: usize = 4;
const LENGTH_MIN: u16 = 2;
const LENGTH_MAX: u16 = 254;

/// One frame off the wire; the PDU stays where it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Chosen by the master, echoed by the server.
    pub transaction: u16,
    /// Unit id.
    pub unit: u8,
    /// Function code and what follows it, 1..=253 bytes.
    pub pdu: &'a [u8],
}

/// Why the stream must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Protocol id other than 0.
    Protocol(u16),
    /// Length field outside 2..=254.
    Length(u16),
}

/// Collects bytes until they are frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out already.
    taken: usize,
    failed: Option<FrameError>,
}

impl Decoder {
    /// Takes bytes as they came; call `next_frame` until it has no more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            // Once per push and never per frame; what is moved is less than a frame.
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole frame, `None` while it is not complete, the error for ever after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let kept = self.buffer.get(self.taken..).unwrap_or_default();
        match split(kept) {
            Ok(Some((frame, rest))) => {
                self.taken = self.buffer.len() - rest.len();
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// Whether part of a frame is waiting for its rest.
    pub fn is_partial(&self) -> bool {
        self.failed.is_none() && self.taken < self.buffer.len()
    }

    /// Forgets everything, for a new connection; keeps its memory.
    pub fn reset(&mut self) {
        self.buffer.clear();
        (self.taken, self.failed) = (0, None);
    }
}

/// The first frame of bytes that begin with one, and what comes behind it; `None` while it is not complete. Who keeps
/// nothing from before can take frames out of what came without a copy.
pub fn split(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, FrameError> {
    let Some(([t1, t0, p1, p0, l1, l0], behind)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = check(u16::from_be_bytes([*p1, *p0]), u16::from_be_bytes([*l1, *l0]))?;
    match behind.split_at_checked(usize::from(length)) {
        Some(([unit, pdu @ ..], rest)) => {
            Ok(Some((Frame { transaction: u16::from_be_bytes([*t1, *t0]), unit: *unit, pdu }, rest)))
        }
        _ => Ok(None),
    }
}

fn check(protocol: u16, length: u16) -> Result<u16, FrameError> {
    if protocol != 0 {
        return Err(FrameError::Protocol(protocol));
    }
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
        return Err(FrameError::Length(length));
    }
    Ok(length)
}

/// Where a frame begins whose PDU is still to be appended.
#[derive(Debug)]
pub struct Open(usize);

/// Appends the header of a frame; append the PDU, 1..=253 bytes, then `close` it.
pub fn open(out: &mut Vec<u8>, transaction: u16, unit: u8) -> Open {
    let start = out.len();
    let [t1, t0] = transaction.to_be_bytes();
    out.extend([t1, t0, 0, 0, 0, 0, unit]);
    Open(start)
}

/// Fills in the length of a frame.
pub fn close(out: &mut [u8], Open(start): Open) {
    let length = u16::try_from(out.len().saturating_sub(start + HEADER)).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(start + LENGTH_AT..start + HEADER) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Takes back a frame that cannot be completed.
pub fn cancel(out: &mut Vec<u8>, Open(start): Open) {
    out.truncate(start);
}

/// One frame in bytes of its own. The PDU must be 1..=253 bytes; every encoder of `pdu` keeps to that.
pub fn encode(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 1 + pdu.len());
    let frame = open(&mut bytes, transaction, unit);
    bytes.extend_from_slice(pdu);
    close(&mut bytes, frame);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Transaction, unit and PDU.
    type Owned = (u16, u8, Vec<u8>);

    /// Everything a decoder says about a stream that arrives in the given pieces.
    fn decode(pieces: &[&[u8]]) -> (Vec<Owned>, Option<FrameError>, bool) {
        let (mut decoder, mut frames, mut error) = (Decoder::default(), Vec::new(), None);
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => frames.push((frame.transaction, frame.unit, frame.pdu.to_vec())),
                    Ok(None) => break,
                    Err(found) => {
                        error = Some(found);
                        break;
                    }
                }
            }
        }
        (frames, error, decoder.is_partial())
    }

    fn any_frame() -> impl Strategy<Value = Owned> {
        (any::<u16>(), any::<u8>(), prop::collection::vec(any::<u8>(), 1..=253))
    }

    fn bytes_of(frames: &[Owned]) -> Vec<u8> {
        frames.iter().flat_map(|(transaction, unit, pdu)| encode(*transaction, *unit, pdu)).collect()
    }

    proptest! {
        #[test]
        fn frames_in_one_segment_come_out_in_order(frames in prop::collection::vec(any_frame(), 0..4)) {
            prop_assert_eq!(decode(&[&bytes_of(&frames)]), (frames, None, false));
        }

        #[test]
        fn any_stream_in_any_pieces_gives_the_same(
            frames in prop::collection::vec(any_frame(), 0..3),
            tail in prop::collection::vec(any::<u8>(), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut stream = bytes_of(&frames);
            stream.extend(tail);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(stream.len());
            let mut start = 0;
            let pieces: Vec<&[u8]> = ends.iter().map(|&end| { let piece = &stream[start..end]; start = end; piece }).collect();
            prop_assert_eq!(decode(&pieces), decode(&[&stream]));
        }
    }

    #[test]
    fn every_split_of_a_read_request_gives_the_same() {
        let stream = encode(7, 1, &[3, 0, 0, 0, 1]);
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(decode(&[head, tail]), decode(&[&stream]));
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&single), decode(&[&stream]));
    }

    #[test]
    fn a_wrong_header_fails_the_stream_for_ever() {
        for (header, error) in [
            ([0, 1, 0, 1, 0, 6], FrameError::Protocol(1)),
            ([0, 1, 0, 0, 0, 0], FrameError::Length(0)),
            ([0, 1, 0, 0, 0, 1], FrameError::Length(1)),
            ([0, 1, 0, 0, 0, 255], FrameError::Length(255)),
            ([0, 1, 0, 0, 0xff, 0xff], FrameError::Length(0xffff)),
        ] {
            let good = encode(2, 1, &[3, 0, 0, 0, 1]);
            assert_eq!(decode(&[&header, &good]), (vec![], Some(error), false));
        }
    }

    #[test]
    fn a_frame_longer_than_what_came_waits() {
        assert_eq!(decode(&[&[0, 1, 0, 0, 0, 9, 1, 3, 0, 0, 0, 1]]), (vec![], None, true));
    }
}
