//! The server's side: a byte stream into frames, their PDUs into requests.
//!
//! The first byte says in which pieces the rest comes; the frames found must not depend on it.
use dgm_core::modbus::frame::{Decoder, FrameError};
use dgm_core::modbus::pdu::{LimitError, RequestView};

type Found = (Vec<(u16, u8, Vec<u8>)>, Option<FrameError>, bool);

fn decode(stream: &[u8], piece: usize) -> Found {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for bytes in stream.chunks(piece) {
        decoder.push(bytes);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push((frame.transaction, frame.unit, frame.pdu.to_vec())),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), decoder.is_partial()),
            }
        }
    }
    (frames, None, decoder.is_partial())
}

/// One input.
pub fn run(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else { return };
    let whole = decode(stream, stream.len().max(1));
    assert_eq!(decode(stream, usize::from(*first) + 1), whole);
    for (_, _, pdu) in &whole.0 {
        let Ok(view) = RequestView::parse(pdu) else { continue };
        let request = view.to_owned();
        match request.encode() {
            Ok(again) => assert_eq!(RequestView::parse(&again).map(RequestView::to_owned), Ok(request)),
            Err(LimitError::Address { .. }) => {}
            Err(other) => panic!("accepted beyond the limits: {other}"),
        }
    }
}
