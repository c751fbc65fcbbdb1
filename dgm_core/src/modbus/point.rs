//! Points: typed values out of a run of registers, with their scale factor and their "not implemented" values.
//!
//! ```text
//! registers ── type, word order ──> raw ── absent? ──> gain, scale factor of the same transaction ──> integer in our unit
//! ```
//!
//! One description serves SunSpec models and the device tables. Absence is `None`, never 0. Addresses are absolute.
use std::sync::Arc;

use super::number::{Fraction, Gain, Raw, Rounding, Scale};
use super::pdu::{BitBytes, RegisterBytes, Span, Table};

/// Registers or bits as they were read in one transaction, still in the bytes that came.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    table: Table,
    first: u16,
    content: Content<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Registers(RegisterBytes<'a>),
    Bits(BitBytes<'a>),
}

impl<'a> Block<'a> {
    /// Registers from address `first` on.
    pub fn new(table: Table, first: u16, registers: RegisterBytes<'a>) -> Self {
        Self { table, first, content: Content::Registers(registers) }
    }

    /// Coils or discrete inputs from address `first` on.
    pub fn of_bits(table: Table, first: u16, bits: BitBytes<'a>) -> Self {
        Self { table, first, content: Content::Bits(bits) }
    }

    /// The registers of a run that lies inside; `None` elsewhere.
    pub fn words(&self, table: Table, start: u16, count: u16) -> Option<RegisterBytes<'a>> {
        match self.content {
            Content::Registers(words) => words.slice(self.position(table, start)?, usize::from(count)),
            Content::Bits(_) => None,
        }
    }

    /// All of it, with the table and the first address; `None` for bits.
    pub fn registers(&self) -> Option<(Table, u16, RegisterBytes<'a>)> {
        match self.content {
            Content::Registers(words) => Some((self.table, self.first, words)),
            Content::Bits(_) => None,
        }
    }

    /// A coil or discrete input.
    fn bit(&self, table: Table, address: u16) -> Option<bool> {
        match self.content {
            Content::Bits(bits) => bits.get(self.position(table, address)?),
            Content::Registers(_) => None,
        }
    }

    fn position(&self, table: Table, address: u16) -> Option<usize> {
        (table == self.table).then_some(usize::from(address.checked_sub(self.first)?))
    }

    /// Whether all of a run lies inside.
    pub fn holds(&self, table: Table, run: Span) -> bool {
        let end = usize::from(run.start) + usize::from(run.count);
        let length = match self.content {
            Content::Registers(words) => words.len(),
            Content::Bits(bits) => bits.len(),
        };
        table == self.table && run.start >= self.first && end <= usize::from(self.first) + length
    }
}

/// How a value stands in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 16 bits, signed.
    I16,
    /// 16 bits.
    U16,
    /// 32 bits, signed.
    I32,
    /// 32 bits.
    U32,
    /// 64 bits, signed.
    I64,
    /// 64 bits.
    U64,
    /// IEEE 754 single; not-a-number and infinity are absence.
    F32,
    /// IEEE 754 double; not-a-number and infinity are absence.
    F64,
    /// One bit of a register, 0..=15; a coil or discrete input is bit 0.
    Bit(u8),
}

impl Kind {
    /// Number of registers.
    pub fn registers(self) -> u16 {
        match self {
            Self::I16 | Self::U16 | Self::Bit(_) => 1,
            Self::I32 | Self::U32 | Self::F32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
        }
    }

    fn bits(self) -> u32 {
        16 * u32::from(self.registers())
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::I16 | Self::I32 | Self::I64)
    }

    /// Lowest and highest raw value; `None` for floats.
    pub fn range(self) -> Option<(i128, i128)> {
        match self {
            Self::F32 | Self::F64 => None,
            Self::Bit(_) => Some((0, 1)),
            _ if self.is_signed() => Some((-(1 << (self.bits() - 1)), (1 << (self.bits() - 1)) - 1)),
            _ => Some((0, (1 << self.bits()) - 1)),
        }
    }
}

/// Raw values that mean "not known".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// None.
    Nothing,
    /// One: a SunSpec type has its own.
    One(i128),
    /// Those of a device table.
    Listed(Arc<[i64]>),
}

impl Absent {
    fn holds(&self, raw: i128) -> bool {
        match self {
            Self::Nothing => false,
            Self::One(value) => *value == raw,
            Self::Listed(values) => values.iter().any(|value| i128::from(*value) == raw),
        }
    }
}

/// The scale factor of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleAt {
    /// Known beforehand.
    Fixed(Scale),
    /// In the int16 at this address, read in the same transaction.
    Register(u16),
}

/// One number of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Table it stands in.
    pub table: Table,
    /// First register.
    pub address: u16,
    /// Type.
    pub kind: Kind,
    /// The least significant register first.
    pub low_first: bool,
    /// What means "not known".
    pub absent: Absent,
    /// Power of ten.
    pub scale: ScaleAt,
    /// Multiplier and divisor.
    pub gain: Gain,
}

impl Slot {
    /// The registers that one transaction must bring: the value's own and its scale factor's.
    pub fn span(&self) -> Span {
        let (mut first, mut last) = (self.address, self.address.saturating_add(self.kind.registers() - 1));
        if let ScaleAt::Register(at) = self.scale {
            (first, last) = (first.min(at), last.max(at));
        }
        Span { start: first, count: (last - first).saturating_add(1) }
    }

    /// The raw value; `None` where it is absent or not in the block.
    pub fn raw(&self, block: &Block<'_>) -> Option<Raw> {
        if self.table.is_bits() {
            return block.bit(self.table, self.address).map(|bit| Raw::Integer(i128::from(bit)));
        }
        self.raw_of(block.words(self.table, self.address, self.kind.registers())?.iter())
    }

    /// The raw value of its own registers, given in the order of their addresses; of a coil or discrete input a register
    /// of 0 or 1. `None` where it is absent.
    pub fn raw_of(&self, words: impl DoubleEndedIterator<Item = u16>) -> Option<Raw> {
        let bits = if self.low_first { join(words.rev()) } else { join(words) };
        let float = match self.kind {
            Kind::F32 => f64::from(f32::from_bits(u32::try_from(bits).ok()?)),
            Kind::F64 => f64::from_bits(bits),
            _ => return self.integer(bits).map(Raw::Integer),
        };
        float.is_finite().then_some(Raw::Float(float))
    }

    fn integer(&self, bits: u64) -> Option<i128> {
        let unsigned = i128::from(bits);
        let raw = match self.kind {
            Kind::Bit(bit) => unsigned >> bit & 1,
            kind if kind.is_signed() && unsigned >> (kind.bits() - 1) != 0 => unsigned - (1 << kind.bits()),
            _ => unsigned,
        };
        (!self.absent.holds(raw)).then_some(raw)
    }

    /// The scale factor; `None` where it is absent.
    pub fn scale(&self, block: &Block<'_>) -> Option<Scale> {
        match self.scale {
            ScaleAt::Fixed(scale) => Some(scale),
            ScaleAt::Register(at) => scale_of(block.words(self.table, at, 1)?.get(0)?),
        }
    }

    /// The value in a unit `digits` decimal digits finer than the point's.
    pub fn value(&self, block: &Block<'_>, digits: i32, rounding: Rounding) -> Option<i64> {
        self.gain.apply(self.raw(block)?, self.scale(block)?, digits, rounding)
    }

    /// The registers that mean `value`, rounded towards 0; `None` where they cannot hold it or would say "not known".
    pub fn words(&self, value: i64, scale: Scale, digits: i32) -> Option<Vec<u16>> {
        self.encode(self.gain.invert(value, scale, digits)?)
    }

    /// The registers of a raw value; `None` where they cannot hold it.
    pub fn raw_words(&self, raw: i64) -> Option<Vec<u16>> {
        self.encode(Gain::ONE.invert(raw, Scale::ONE, 0)?)
    }

    /// The registers that say "not known"; `None` where a value cannot say it, or in several ways.
    pub fn absent_words(&self) -> Option<Vec<u16>> {
        let Absent::One(raw) = self.absent else { return None };
        Some(self.laid_out(u64::try_from(raw.rem_euclid(1 << self.kind.bits())).ok()?))
    }

    fn encode(&self, raw: Fraction) -> Option<Vec<u16>> {
        let bits = match (self.kind, self.kind.range()) {
            (Kind::Bit(_), _) => return None,
            (_, Some((low, high))) => {
                let raw = raw.round(Rounding::Inwards)?;
                ((low..=high).contains(&raw) && !self.absent.holds(raw)).then_some(())?;
                u64::try_from(raw.rem_euclid(1 << self.kind.bits())).ok()?
            }
            (Kind::F32, None) => raw.float_bits(23)?,
            (_, None) => raw.float_bits(52)?,
        };
        Some(self.laid_out(bits))
    }

    fn laid_out(&self, bits: u64) -> Vec<u16> {
        let mut words = split(bits, self.kind.registers());
        if self.low_first {
            words.reverse();
        }
        words
    }
}

/// The scale factor that a register holds; `None` where that is none.
pub fn scale_of(word: u16) -> Option<Scale> {
    Scale::new(i64::from(i16::from_be_bytes(word.to_be_bytes())))
}

fn join(words: impl Iterator<Item = u16>) -> u64 {
    words.fold(0, |bits, word| bits << 16 | u64::from(word))
}

/// The least significant `count` words of a number, the most significant first.
fn split(bits: u64, count: u16) -> Vec<u16> {
    let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
    let all = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_be_bytes);
    all[4 - usize::from(count.min(4))..].to_vec()
}

/// Registers as bytes on the wire, for tests.
#[cfg(test)]
pub fn wire(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn slot(kind: Kind) -> Slot {
        Slot {
            table: Table::Holding,
            address: 10,
            kind,
            low_first: false,
            absent: Absent::Nothing,
            scale: ScaleAt::Fixed(Scale::ONE),
            gain: Gain::ONE,
        }
    }

    fn raw(slot: &Slot, words: &[u16]) -> Option<Raw> {
        with(Table::Holding, 10, words, |block| slot.raw(&block))
    }

    fn with<T>(table: Table, first: u16, words: &[u16], take: impl FnOnce(Block<'_>) -> T) -> T {
        take(Block::new(table, first, RegisterBytes::new(&wire(words)).unwrap()))
    }

    #[test]
    fn every_type_in_both_word_orders() {
        let cases = [
            (Kind::I16, vec![0xffff], -1),
            (Kind::U16, vec![0xffff], 65_535),
            (Kind::I32, vec![0xffff, 0xfffe], -2),
            (Kind::U32, vec![1, 2], 65_538),
            (Kind::I64, vec![0xffff, 0xffff, 0xffff, 0xfffd], -3),
            (Kind::U64, vec![1, 0, 0, 0], 1 << 48),
            (Kind::Bit(3), vec![0b1000], 1),
        ];
        for (kind, mut words, value) in cases {
            assert_eq!(raw(&slot(kind), &words), Some(Raw::Integer(value)), "{kind:?}");
            words.reverse();
            assert_eq!(raw(&Slot { low_first: true, ..slot(kind) }, &words), Some(Raw::Integer(value)), "{kind:?}");
        }
        assert_eq!(raw(&slot(Kind::F32), &[0x4366, 0x4000]), Some(Raw::Float(230.25)));
        assert_eq!(raw(&Slot { low_first: true, ..slot(Kind::F32) }, &[0x4000, 0x4366]), Some(Raw::Float(230.25)));
    }

    #[test]
    fn what_means_not_known_is_absence_and_zero_is_a_value() {
        let minimum = Slot { absent: Absent::One(-32_768), ..slot(Kind::I16) };
        assert_eq!((raw(&minimum, &[0x8000]), raw(&minimum, &[0])), (None, Some(Raw::Integer(0))));
        let listed = Slot { absent: Absent::Listed([0x7fff, -1].into()), ..slot(Kind::I16) };
        assert_eq!([0x7fff, 0xffff].map(|word| raw(&listed, &[word])), [None, None]);
        assert_eq!(raw(&slot(Kind::F32), &[0x7fc0, 0]), None);
        assert_eq!(raw(&slot(Kind::F32), &[0x7f80, 0]), None);
    }

    #[test]
    fn a_point_outside_the_block_or_in_another_table_is_absence() {
        assert_eq!(raw(&slot(Kind::U32), &[1]), None);
        assert_eq!(with(Table::Holding, 11, &[1], |block| slot(Kind::U16).raw(&block)), None);
        assert_eq!(with(Table::Input, 10, &[1], |block| slot(Kind::U16).raw(&block)), None);
    }

    #[test]
    fn a_coil_is_a_bit_of_its_own_table() {
        let coil = Slot { table: Table::Coil, address: 13, ..slot(Kind::Bit(0)) };
        let bits = Block::of_bits(Table::Coil, 10, BitBytes::new(&[0b1000], 4).unwrap());
        assert_eq!(coil.raw(&bits), Some(Raw::Integer(1)));
        assert_eq!(Slot { address: 12, ..coil.clone() }.raw(&bits), Some(Raw::Integer(0)));
        assert_eq!(Slot { address: 14, ..coil }.raw(&bits), None);
    }

    #[test]
    fn a_scale_factor_is_read_with_its_value_or_the_value_is_absent() {
        let scaled = Slot { scale: ScaleAt::Register(12), ..slot(Kind::I16) };
        assert_eq!(scaled.span(), Span { start: 10, count: 3 });
        let value = |words: &[u16]| with(Table::Holding, 10, words, |block| scaled.value(&block, 0, Rounding::Down));
        assert_eq!(value(&[7, 0, 2]), Some(700));
        assert_eq!([value(&[7, 0]), value(&[7, 0, 0x8000]), value(&[7, 0, 11])], [None; 3]);
    }

    #[test]
    fn what_the_registers_cannot_hold_or_means_not_known_is_not_written() {
        assert_eq!(slot(Kind::U16).words(65_536, Scale::ONE, 0), None);
        assert_eq!(slot(Kind::U16).words(-1, Scale::ONE, 0), None);
        let all_ones = Slot { absent: Absent::One(65_535), ..slot(Kind::U16) };
        assert_eq!(all_ones.words(65_535, Scale::ONE, 0), None);
        assert_eq!(slot(Kind::Bit(1)).words(1, Scale::ONE, 0), None, "a bit would take its neighbours along");
        assert_eq!(slot(Kind::F32).words(-1500, Scale::ONE, 3), Some(vec![0xbfc0, 0]));
    }

    proptest! {
        #[test]
        fn a_value_survives_its_registers(value in -2_000_000_000i64..2_000_000_000, low_first in any::<bool>()) {
            for kind in [Kind::I32, Kind::I64, Kind::F64] {
                let slot = Slot { low_first, ..slot(kind) };
                let words = slot.words(value, Scale::ONE, 0).unwrap();
                let found = with(Table::Holding, 10, &words, |block| slot.value(&block, 0, Rounding::Nearest));
                prop_assert_eq!(found, Some(value));
            }
        }
    }
}
