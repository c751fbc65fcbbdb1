//! Registers and bits as they stand in a PDU: views that copy nothing until a value is asked for.

/// Big-endian registers, two bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterBytes<'a>(&'a [[u8; 2]]);

impl<'a> RegisterBytes<'a> {
    /// All of `bytes`; `None` for an odd number.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks();
        rest.is_empty().then_some(Self(words))
    }

    /// How many registers.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The register at a position, counted from 0.
    pub fn get(self, index: usize) -> Option<u16> {
        self.0.get(index).copied().map(u16::from_be_bytes)
    }

    /// `count` registers from position `first` on; `None` where there are fewer.
    pub fn slice(self, first: usize, count: usize) -> Option<Self> {
        self.0.get(first..first.checked_add(count)?).map(Self)
    }

    /// The registers in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u16> + DoubleEndedIterator + 'a {
        self.0.iter().copied().map(u16::from_be_bytes)
    }

    /// The bytes as on the wire.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_flattened()
    }

    /// Copies the registers to `words`, as many as both have.
    pub fn copy_to(self, words: &mut [u16]) {
        for (word, value) in words.iter_mut().zip(self.iter()) {
            *word = value;
        }
    }

    /// An own copy.
    pub fn to_vec(self) -> Vec<u16> {
        self.iter().collect()
    }
}

/// Bits, eight to a byte, the first in the lowest bit of the first byte.
#[derive(Clone, Copy, Debug)]
pub struct BitBytes<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> BitBytes<'a> {
    /// The first `count` bits of `bytes`; `None` unless they take exactly these bytes.
    pub fn new(bytes: &'a [u8], count: u16) -> Option<Self> {
        let count = usize::from(count);
        (super::packed(count) == bytes.len()).then_some(Self { bytes, count })
    }

    /// How many bits.
    pub fn len(self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The bit at a position, counted from 0.
    pub fn get(self, index: usize) -> Option<bool> {
        let byte = self.bytes.get(index / 8).filter(|_| index < self.count)?;
        Some(byte >> (index % 8) & 1 == 1)
    }

    /// The bytes as on the wire; what the last one is filled up with has no meaning.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The bits in order.
    pub fn iter(self) -> impl Iterator<Item = bool> + 'a {
        (0..self.count).filter_map(move |index| self.get(index))
    }

    /// An own copy.
    pub fn to_vec(self) -> Vec<bool> {
        self.iter().collect()
    }
}

/// What the last byte is filled up with is no difference.
impl PartialEq for BitBytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for BitBytes<'_> {}
