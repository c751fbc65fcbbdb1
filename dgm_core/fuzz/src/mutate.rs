//! Repeatable damage: xorshift64* numbers, and what they do to bytes.

/// Longest input that grows.
pub const LENGTH_MAX: usize = 2_048;

/// Numbers that are the same for the same seed.
pub struct Random(u64);

impl Random {
    /// Any seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `bound`, which is at least 1 and small.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }
}

/// Damages an input in one to four places; one in eight is left as it is.
pub fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let dice = random.next();
    if dice & 7 == 0 {
        return;
    }
    for _ in 0..=(dice >> 3 & 3) {
        let (dice, length) = (random.next(), bytes.len());
        let value = (dice >> 8) as u8;
        if length == 0 {
            return bytes.push(value);
        }
        // Heads are where the decisions are.
        let reach = if dice & 1 == 0 { length.min(12) } else { length };
        let at = (dice >> 33) as usize % reach;
        match dice >> 1 & 15 {
            0..=4 => bytes[at] ^= 1 << (value & 7),
            5..=8 => bytes[at] = value,
            9 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][usize::from(value) % 5],
            10 => bytes[at] = bytes[at].wrapping_add(1),
            11 => bytes[at] = bytes[at].wrapping_sub(1),
            12 => bytes.truncate(at),
            13 if length < LENGTH_MAX => bytes.insert(at, value),
            14 => drop(bytes.remove(at)),
            15 if length < LENGTH_MAX => bytes.extend_from_within(at..length.min(at + 16)),
            _ => {}
        }
    }
}
