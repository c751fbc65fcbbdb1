//! The registers of a fleet as they were read last: one thread writes device by device, any thread copies whole devices.
//!
//! ```text
//! words:     │ device 0: read │ read │ device 1: read │ ...      four registers to a word, in memory order
//! stamps:    │ one row per read                                  under the same sequence as its device's words
//! sequences: │ one per device: odd while it is written          dirty: │ one bit per device
//! ```
//!
//! A copy never mixes two writes of a device, and takes only devices that changed. The writer never waits. Nothing is
//! allocated after the start.
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{fence, AtomicI64, AtomicU64, Ordering};

use crate::record::Digest;
use crate::site::image::Quality;
use crate::units::{Micros, Millis};

/// Registers in a word.
pub const PACKED: usize = 4;
/// Columns of a stamp as it is kept and copied.
pub const STAMP_WIDTH: usize = 5;
/// Age of what was never read.
pub const NEVER_READ: i64 = i64::MIN;
const BITS: usize = 64;
const BYTES: usize = 2 * PACKED;

/// When a read was made and how far it may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of the registers as they stand.
    pub quality: Quality,
    /// When the request that brought them was sent: they are at most this old.
    pub read_at: Micros,
    /// The slot for which they were read.
    pub due_at: Micros,
    /// How many times they have been read.
    pub sequence: i64,
}

impl Stamp {
    /// Nothing was read yet.
    pub const NEVER: Self = Self { quality: Quality::Never, read_at: Micros::ZERO, due_at: Micros::ZERO, sequence: 0 };
}

/// One read of a device: where its registers stand and until when they are fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Registers, or bits with a register each.
    pub registers: usize,
    /// Older than this it is stale.
    pub age_max: Micros,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    words: Range<usize>,
    rows: Range<usize>,
}

/// The registers of a fleet.
#[derive(Debug)]
pub struct RegisterImage {
    words: Box<[AtomicU64]>,
    stamps: Box<[AtomicI64]>,
    sequences: Box<[AtomicU64]>,
    dirty: Box<[AtomicU64]>,
    devices: Box<[Region]>,
    /// First word and length in registers of each row, and its age limit in us.
    blocks: Box<[(usize, Block)]>,
}

impl RegisterImage {
    /// Zeros that were never read, for the blocks of each device.
    pub fn new(devices: &[Vec<Block>]) -> Self {
        let (mut regions, mut blocks, mut word) = (Vec::new(), Vec::new(), 0);
        for device in devices {
            let (first_word, first_row) = (word, blocks.len());
            for block in device {
                blocks.push((word, *block));
                word += block.registers.div_ceil(PACKED);
            }
            regions.push(Region { words: first_word..word, rows: first_row..blocks.len() });
        }
        let never = [Quality::Never.number(), 0, 0, NEVER_READ, 0];
        Self {
            words: (0..word).map(|_| AtomicU64::new(0)).collect(),
            stamps: blocks.iter().flat_map(|_| never).map(AtomicI64::new).collect(),
            sequences: regions.iter().map(|_| AtomicU64::new(0)).collect(),
            dirty: dirty(regions.len()),
            devices: regions.into(),
            blocks: blocks.into(),
        }
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Words of the whole copy.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// Rows of the whole copy, one per read.
    pub fn rows(&self) -> usize {
        self.blocks.len()
    }

    /// Rows of a device.
    pub fn rows_of(&self, device: usize) -> Option<Range<usize>> {
        self.devices.get(device).map(|region| region.rows.clone())
    }

    /// Position of a row's first register among all registers of the copy.
    pub fn offset(&self, row: usize) -> Option<usize> {
        self.blocks.get(row).map(|(word, _)| word * PACKED)
    }

    /// Replaces a row. Only one thread may ever write; registers that are missing keep their value.
    pub fn write(&self, device: usize, row: usize, registers: Registers<'_>, stamp: Stamp) {
        self.update(device, || {
            let Some((word, block)) = self.blocks.get(row) else { return };
            let words = self.words.get(*word..word + block.registers.div_ceil(PACKED)).unwrap_or_default();
            registers.store(words);
            self.store_stamp(row, stamp);
        });
    }

    /// Replaces a stamp and leaves the registers as they are. Only one thread may ever write.
    pub fn mark(&self, device: usize, row: usize, stamp: Stamp) {
        self.update(device, || self.store_stamp(row, stamp));
    }

    fn store_stamp(&self, row: usize, stamp: Stamp) {
        let values = [stamp.quality.number(), stamp.read_at.get(), stamp.due_at.get(), NEVER_READ, stamp.sequence];
        let cells = self.stamps.iter().skip(row * STAMP_WIDTH);
        cells.zip(values).for_each(|(cell, value)| cell.store(value, Ordering::Relaxed));
    }

    fn update(&self, device: usize, write: impl FnOnce()) {
        let Some(sequence) = self.sequences.get(device) else { return };
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        write();
        sequence.store(before.wrapping_add(2), Ordering::Release);
        if let Some(bits) = self.dirty.get(device / BITS) {
            bits.fetch_or(1 << (device % BITS), Ordering::Release);
        }
    }

    /// Copies every device that changed since the last call, whole, and names it. Two readers share the changes.
    pub fn copy_changed(&self, words: &[Cell<u64>], stamps: &[Cell<i64>], mut changed: impl FnMut(usize)) {
        for (group, bits) in self.dirty.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut left = bits.swap(0, Ordering::Acquire);
            while left != 0 {
                let device = group * BITS + usize::try_from(left.trailing_zeros()).unwrap_or_default();
                left &= left - 1;
                self.copy(device, words, stamps);
                changed(device);
            }
        }
    }

    /// Copies every device, whole.
    pub fn copy_all(&self, words: &[Cell<u64>], stamps: &[Cell<i64>]) {
        (0..self.devices()).for_each(|device| self.copy(device, words, stamps));
    }

    fn copy(&self, device: usize, words: &[Cell<u64>], stamps: &[Cell<i64>]) {
        let (Some(region), Some(sequence)) = (self.devices.get(device), self.sequences.get(device)) else { return };
        let rows = region.rows.start * STAMP_WIDTH..region.rows.end * STAMP_WIDTH;
        let (Some(from), Some(to)) = (self.words.get(region.words.clone()), words.get(region.words.clone())) else {
            return;
        };
        let (Some(stamps_from), Some(stamps_to)) = (self.stamps.get(rows.clone()), stamps.get(rows)) else { return };
        loop {
            let before = sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                from.iter().zip(to).for_each(|(from, to)| to.set(from.load(Ordering::Relaxed)));
                stamps_from.iter().zip(stamps_to).for_each(|(from, to)| to.set(from.load(Ordering::Relaxed)));
                fence(Ordering::Acquire);
                if sequence.load(Ordering::Relaxed) == before {
                    return;
                }
            }
            std::hint::spin_loop();
        }
    }

    /// Of everything as it stands: the same for the same reads. Nobody may write meanwhile.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.words.iter().for_each(|word| digest.add(&word.load(Ordering::Relaxed).to_le_bytes()));
        self.stamps.iter().for_each(|word| digest.add(&word.load(Ordering::Relaxed).to_le_bytes()));
        digest
    }

    /// Reckons age and quality of a copy as of `now`: what is good and too old is stale.
    pub fn age(&self, stamps: &[Cell<i64>], now: Micros) {
        for ((_, block), row) in self.blocks.iter().zip(stamps.chunks_exact(STAMP_WIDTH)) {
            let [quality, read_at, _, age, sequence] = row else { return };
            if sequence.get() > 0 {
                let passed = (now - Micros::new(read_at.get())).max(Micros::ZERO);
                age.set(Millis::get(passed.to_millis()));
                if passed > block.age_max && quality.get() == Quality::Good.number() {
                    quality.set(Quality::Stale.number());
                }
            }
        }
    }
}

/// Registers on their way into the image, as they came off the wire.
#[derive(Clone, Copy, Debug)]
pub enum Registers<'a> {
    /// Two bytes each, big-endian.
    Words(&'a [u8]),
    /// Eight to a byte, the first in the lowest bit; each becomes a register of 0 or 1.
    Bits(&'a [u8]),
}

impl Registers<'_> {
    fn store(self, words: &[AtomicU64]) {
        match self {
            Self::Words(bytes) => {
                let (whole, rest) = bytes.as_chunks::<BYTES>();
                words.iter().zip(whole).for_each(|(word, bytes)| word.store(packed(*bytes), Ordering::Relaxed));
                if let (Some(word), false) = (words.get(whole.len()), rest.is_empty()) {
                    let mut last = [0; BYTES];
                    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    word.store(packed(last), Ordering::Relaxed);
                }
            }
            Self::Bits(bytes) => {
                let halves = bytes.iter().flat_map(|byte| [byte & 0xF, byte >> 4]);
                words.iter().zip(halves).for_each(|(word, half)| word.store(spread(half), Ordering::Relaxed));
            }
        }
    }
}

/// Every device counts as changed until it was copied once.
fn dirty(devices: usize) -> Box<[AtomicU64]> {
    let full = |first: usize| if devices - first >= BITS { u64::MAX } else { (1 << (devices - first)) - 1 };
    (0..devices).step_by(BITS).map(|first| AtomicU64::new(full(first))).collect()
}

/// Four big-endian registers as a word whose memory holds them in order, each in the machine's own byte order.
fn packed(bytes: [u8; BYTES]) -> u64 {
    let word = u64::from_ne_bytes(bytes);
    if cfg!(target_endian = "little") {
        let low = 0x00FF_00FF_00FF_00FF;
        return (word & low) << 8 | (word >> 8) & low;
    }
    word
}

/// Four bits as four registers of 0 or 1.
fn spread(half: u8) -> u64 {
    let bit = |place: u8| [0, half >> place & 1];
    let ([a, b], [c, d], [e, f], [g, h]) = (bit(0), bit(1), bit(2), bit(3));
    packed([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
