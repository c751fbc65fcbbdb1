//! What a device answers: holding registers that count up, or the time of the answer; writes are echoed and noted.
use crate::meter::nanos;

/// Bytes before the unit id.
const HEAD: usize = 6;
/// Most bytes behind the head.
const BODY_MAX: usize = 254;
/// Most writes noted.
const WRITES_MAX: usize = 100_000;

/// When a write came and what it wrote first.
pub type Write = (u64, u16);

/// The requests in a stream, answered in order.
#[derive(Default)]
pub struct Device {
    is_stamping: bool,
    /// Reads answered.
    pub reads: u64,
    /// Writes answered, at most WRITES_MAX of them.
    pub writes: Vec<Write>,
}

impl Device {
    /// With `is_stamping` the first four registers are CLOCK_MONOTONIC in ns when the answer was made.
    pub fn new(is_stamping: bool) -> Self {
        Self { is_stamping, reads: 0, writes: Vec::new() }
    }

    /// Answers all whole requests of `input` into `output`; how many bytes they had, None for a frame that is not one.
    pub fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| rest.len() > HEAD + 1) {
            let length = usize::from(word(rest, 4));
            if word(rest, 2) != 0 || !(2..=BODY_MAX).contains(&length) {
                return None;
            }
            let Some(frame) = rest.get(..HEAD + length) else { break };
            self.one(frame, output);
            used += HEAD + length;
        }
        Some(used)
    }

    fn one(&mut self, frame: &[u8], output: &mut Vec<u8>) {
        let function = frame.get(7).copied().unwrap_or(0);
        let count = if frame.len() >= 12 { word(frame, 10) } else { 0 };
        match function {
            3 | 4 if frame.len() == 12 && (1..=125).contains(&count) => self.read(frame, count, output),
            6 if frame.len() == 12 => self.write(frame, count, output),
            16 if frame.len() > 14 => self.write(frame, word(frame, 13), output),
            _ => {
                output.extend_from_slice(&[frame[0], frame[1], 0, 0, 0, 3, frame[6], function | 0x80, 1]);
            }
        }
    }

    fn read(&mut self, frame: &[u8], count: u16, output: &mut Vec<u8>) {
        self.reads += 1;
        let bytes = 2 * count;
        output.extend_from_slice(&[frame[0], frame[1], 0, 0]);
        output.extend_from_slice(&(bytes + 3).to_be_bytes());
        output.extend_from_slice(&[frame[6], frame[7], bytes.to_le_bytes()[0]]);
        let start = output.len();
        output.extend_from_slice(&REGISTERS[..usize::from(bytes)]);
        if self.is_stamping && count >= 4 {
            output[start..start + 8].copy_from_slice(&nanos().to_be_bytes());
        }
    }

    fn write(&mut self, frame: &[u8], value: u16, output: &mut Vec<u8>) {
        if self.writes.len() < WRITES_MAX {
            self.writes.push((nanos(), value));
        }
        output.extend_from_slice(&frame[..4]);
        output.extend_from_slice(&[0, 6]);
        output.extend_from_slice(&frame[6..12]);
    }
}

/// Register n holds n.
static REGISTERS: [u8; 250] = {
    let mut bytes = [0; 250];
    let mut index = 0;
    while index < 125 {
        // Below 125, so that the high byte stays 0.
        bytes[2 * index + 1] = index.to_le_bytes()[0];
        index += 1;
    }
    bytes
};

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
