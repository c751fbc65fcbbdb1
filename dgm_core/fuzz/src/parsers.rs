//! Every frame parser at the rate of a billion damaged frames in minutes: nothing is allocated for a frame.
//!
//! What must hold: no panic; `split` and the collecting decoder find the same, in two pieces as in one; a frame that is
//! taken has the length that its header says; a reply that is taken has as many values as were asked for; on a serial
//! line a reply has a right check sum.
use dgm_core::modbus::frame::{self, Decoder, Frame, FrameError};
use dgm_core::modbus::pdu::{
    bits_into, exception_into, mask_written_into, registers_into, written_into, Exception, Expected, ReplyView,
    Request, RequestView, Span, Table,
};
use dgm_core::modbus::rtu::{self, ReplyDecoder};

const UNIT: u8 = 17;
/// Head of a TCP frame, and the shortest frame of a serial line.
const MBAP: usize = 7;

/// A good frame and what it answers, or what its answer must look like.
pub struct Seed {
    /// With its MBAP head.
    pub tcp: Vec<u8>,
    /// With its check sum.
    pub rtu: Vec<u8>,
    expected: Expected,
}

/// Buffers that are kept from frame to frame, and what was found.
#[derive(Default)]
pub struct Parsers {
    decoder: Decoder,
    serial: ReplyDecoder,
    /// Frames that were whole.
    pub whole: u64,
    /// Requests and replies that were taken.
    pub taken: u64,
}

/// A request and an answer of every function, short and as long as may be, and exceptions.
pub fn seeds() -> Vec<Seed> {
    let span = |count| Span { start: 3, count };
    let mut requests = Vec::new();
    for table in [Table::Coil, Table::DiscreteInput] {
        requests.extend([1, 9, 2_000].map(|count| Request::Read { table, span: span(count) }));
    }
    for table in [Table::Holding, Table::Input] {
        requests.extend([1, 4, 125].map(|count| Request::Read { table, span: span(count) }));
    }
    requests.push(Request::WriteCoil { address: 1, value: true });
    requests.push(Request::WriteOne { address: 1, value: 0x0304 });
    requests.extend([1, 9, 1_968].map(|count| Request::WriteCoils { start: 0, values: vec![true; count] }));
    requests.extend([1, 2, 123].map(|count| Request::WriteMany { start: 0, values: vec![5; count] }));
    requests.push(Request::MaskWrite { address: 4, and: 0xF2, or: 0x25 });
    requests.extend(Request::read_write(span(2), 14, vec![255; 3]));
    requests.iter().flat_map(|request| [asking(request), answering(request), refusing(request)]).collect()
}

fn seed(request: &Request, pdu: &[u8]) -> Seed {
    Seed { tcp: frame::encode(0x1234, UNIT, pdu), rtu: rtu::encode(UNIT, pdu), expected: request.expected() }
}

fn asking(request: &Request) -> Seed {
    seed(request, &request.encode().unwrap())
}

fn refusing(request: &Request) -> Seed {
    let mut pdu = Vec::new();
    exception_into(&mut pdu, request.function(), Exception::IllegalAddress);
    seed(request, &pdu)
}

fn answering(request: &Request) -> Seed {
    let (mut pdu, function) = (Vec::new(), request.function());
    let short = |length: usize| u16::try_from(length).unwrap();
    match request {
        Request::Read { table, span } if table.is_bits() => {
            bits_into(&mut pdu, function, &vec![true; usize::from(span.count)]);
        }
        Request::Read { span, .. } => registers_into(&mut pdu, function, &vec![0x0A0B; usize::from(span.count)]),
        Request::WriteCoil { address, value } => {
            written_into(&mut pdu, function, *address, if *value { 0xFF00 } else { 0 });
        }
        Request::WriteOne { address, value } => written_into(&mut pdu, function, *address, *value),
        Request::WriteCoils { start, values } => written_into(&mut pdu, function, *start, short(values.len())),
        Request::WriteMany { start, values } => written_into(&mut pdu, function, *start, short(values.len())),
        Request::MaskWrite { address, and, or } => mask_written_into(&mut pdu, *address, *and, *or),
        _ => registers_into(&mut pdu, function, &[7, 8]),
    }
    seed(request, &pdu)
}

impl Parsers {
    /// A stream that came over TCP in two pieces, cut somewhere.
    pub fn tcp(&mut self, seed: &Seed, stream: &[u8], cut: usize) {
        self.decoder.reset();
        let (mut rest, mut next) = (stream, 0);
        let pieces = stream.split_at(cut.min(stream.len()));
        let pieces = [pieces.0, pieces.1];
        self.decoder.push(pieces[0]);
        loop {
            let straight = frame::split(rest);
            let mut collected = self.decoder.next_frame().map(|frame| frame.map(length_of));
            if collected == Ok(None) && next == 0 {
                next = 1;
                self.decoder.push(pieces[1]);
                collected = self.decoder.next_frame().map(|frame| frame.map(length_of));
            }
            assert_eq!(straight.map(|found| found.map(|(frame, _)| length_of(frame))), collected);
            match straight {
                Ok(Some((found, behind))) => {
                    assert_eq!(rest.len() - behind.len(), MBAP + found.pdu.len());
                    self.pdu(seed, found.pdu);
                    rest = behind;
                }
                Ok(None) => return assert_eq!(self.decoder.is_partial(), !rest.is_empty()),
                Err(FrameError::Protocol(_) | FrameError::Length(_)) => return,
            }
        }
    }

    fn pdu(&mut self, seed: &Seed, pdu: &[u8]) {
        self.whole += 1;
        assert!((1..=253).contains(&pdu.len()));
        let request = RequestView::parse(pdu);
        let reply = seed.expected.parse(pdu);
        if let Ok(view) = reply {
            assert_eq!(pdu.len(), seed.expected.length());
            assert!(matches!(view, ReplyView::Registers(_) | ReplyView::Bits(_) | ReplyView::Written));
        }
        self.taken += u64::from(request.is_ok()) + u64::from(reply.is_ok());
    }

    /// A stream that came over a serial line, byte by byte.
    pub fn rtu(&mut self, seed: &Seed, stream: &[u8]) {
        self.serial.reset();
        for (at, byte) in stream.iter().enumerate() {
            let Some(pdu) = self.serial.push(*byte, UNIT, &seed.expected) else { continue };
            self.whole += 1;
            let from = (at + 1).checked_sub(pdu.len() + 3).expect("no longer than what came");
            assert_eq!(rtu::decode(UNIT, &stream[from..=at]), Some(pdu));
            self.taken += u64::from(seed.expected.parse(pdu).is_ok());
            return;
        }
    }
}

fn length_of(frame: Frame<'_>) -> (u16, u8, usize) {
    (frame.transaction, frame.unit, frame.pdu.len())
}
