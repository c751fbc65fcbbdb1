//! One value that clients may write: how it lies in its cells, which numbers it takes, what it falls back to.
//!
//! ```text
//! bytes of its cells ── decode ──> i64 ── accepts? ──> encode ──> bytes of its cells
//! ```
//!
//! It knows nothing of addresses, leases or who writes: `write_table` does.

/// How many registers a value fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 16 bits.
    One,
    /// 32 bits.
    Two,
    /// 64 bits.
    Four,
}

impl Width {
    /// Number of registers.
    pub fn registers(self) -> u16 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// How a value lies in its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One coil: 0 or 1.
    Coil,
    /// Registers.
    Number {
        /// How many.
        width: Width,
        /// Two's complement.
        is_signed: bool,
        /// The least significant register first; the usual order is the most significant first.
        is_low_first: bool,
    },
}

impl Form {
    /// Registers in the usual order.
    pub fn number(width: Width, is_signed: bool) -> Self {
        Self::Number { width, is_signed, is_low_first: false }
    }

    /// How many cells a value fills.
    pub fn cells(self) -> u16 {
        match self {
            Self::Coil => 1,
            Self::Number { width, .. } => width.registers(),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Coil => 1,
            Self::Number { width, .. } => 2 * usize::from(width.registers()),
        }
    }

    /// Whether the cells can hold the value.
    pub fn holds(self, value: i64) -> bool {
        let (bits, is_signed) = match self {
            Self::Coil => (1, false),
            Self::Number { width, is_signed, .. } => (16 * u32::from(width.registers()), is_signed),
        };
        let (value, values) = (i128::from(value), 1i128 << bits);
        if is_signed {
            (-(values >> 1)..values >> 1).contains(&value)
        } else {
            (0..values).contains(&value)
        }
    }

    /// The bytes of a value; what does not fit loses its high bits.
    pub fn encode(self, value: i64) -> Cell {
        let mut cell = Cell { bytes: value.to_be_bytes(), length: self.bytes() };
        if matches!(self, Self::Number { is_low_first: true, .. }) {
            swap_registers(cell.as_mut_slice());
        }
        cell
    }

    /// The value of its bytes; `None` when their number is wrong or an `i64` cannot hold it.
    pub fn decode(self, bytes: &[u8]) -> Option<i64> {
        if bytes.len() != self.bytes() {
            return None;
        }
        let (is_signed, is_low_first) = match self {
            Self::Coil => (false, false),
            Self::Number { is_signed, is_low_first, .. } => (is_signed, is_low_first),
        };
        let mut cell = Cell { bytes: [0; 8], length: bytes.len() };
        cell.as_mut_slice().copy_from_slice(bytes);
        if is_low_first {
            swap_registers(cell.as_mut_slice());
        }
        if is_signed && cell.as_slice().first().is_some_and(|high| *high >= 0x80) {
            let unused = cell.bytes.len() - cell.length;
            cell.bytes.iter_mut().take(unused).for_each(|byte| *byte = 0xff);
            return Some(i64::from_be_bytes(cell.bytes));
        }
        i64::try_from(u64::from_be_bytes(cell.bytes)).ok()
    }
}

fn swap_registers(bytes: &mut [u8]) {
    bytes.reverse();
    bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
}

/// The bytes of one value, at the end of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    bytes: [u8; 8],
    length: usize,
}

impl Cell {
    /// As they lie in the image.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.bytes.len() - self.length..).unwrap_or_default()
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        let unused = self.bytes.len() - self.length;
        self.bytes.get_mut(unused..).unwrap_or_default()
    }
}

/// A value with its inclusive range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writable {
    form: Form,
    low: i64,
    high: i64,
    /// One number more.
    absent: Option<i64>,
}

impl Writable {
    /// `None`: low > high, or a bound that the cells cannot hold.
    pub fn new(form: Form, low: i64, high: i64) -> Option<Self> {
        (form.holds(low) && form.holds(high) && low <= high).then_some(Self { form, low, high, absent: None })
    }

    /// The same, and one number beside the range, "nothing is asked". `None`: the cells cannot hold it.
    pub fn or_absent(mut self, absent: Option<i64>) -> Option<Self> {
        self.absent = absent;
        absent.is_none_or(|absent| self.form.holds(absent)).then_some(self)
    }

    /// How it lies in its cells.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The value of these bytes, if it may be written.
    pub fn accept(&self, bytes: &[u8]) -> Option<i64> {
        self.form.decode(bytes).filter(|value| (self.low..=self.high).contains(value) || self.absent == Some(*value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_form() -> impl Strategy<Value = Form> {
        let width = prop_oneof![Just(Width::One), Just(Width::Two), Just(Width::Four)];
        prop_oneof![
            Just(Form::Coil),
            (width, any::<bool>(), any::<bool>()).prop_map(|(width, is_signed, is_low_first)| Form::Number {
                width,
                is_signed,
                is_low_first
            })
        ]
    }

    proptest! {
        #[test]
        fn a_value_that_its_cells_can_hold_survives_them(form in any_form(), wide in any::<i64>(), shift in 0u32..64) {
            let value = wide >> shift;
            let cell = form.encode(value);
            prop_assert_eq!(cell.as_slice().len(), form.bytes());
            if form.holds(value) {
                prop_assert_eq!(form.decode(cell.as_slice()), Some(value));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(form in any_form(), bytes in prop::collection::vec(any::<u8>(), 0..10)) {
            if let Some(value) = form.decode(&bytes) {
                let cell = form.encode(value);
                prop_assert_eq!(cell.as_slice(), bytes.as_slice());
            }
        }
    }

    #[test]
    fn the_least_significant_register_may_come_first() {
        let form = |is_low_first| Form::Number { width: Width::Two, is_signed: false, is_low_first };
        assert_eq!(form(false).encode(0x0001_0203).as_slice(), [0, 1, 2, 3]);
        assert_eq!(form(true).encode(0x0001_0203).as_slice(), [2, 3, 0, 1]);
    }

    #[test]
    fn a_negative_value_is_twos_complement_in_a_signed_form() {
        let signed = Writable::new(Form::number(Width::Two, true), -9, 9).unwrap();
        assert_eq!(signed.accept(&[0xff, 0xff, 0xff, 0xf7]), Some(-9));
        assert_eq!(signed.accept(&[0xff, 0xff, 0xff, 0xf6]), None);
        assert_eq!(Form::number(Width::Four, false).decode(&[0xff; 8]), None, "more than an i64 holds");
    }

    #[test]
    fn nothing_asked_may_be_written_beside_the_range_and_nothing_else() {
        let plain = Writable::new(Form::number(Width::One, false), 0, 9).unwrap();
        assert_eq!(plain.accept(&[0xff, 0xff]), None);
        let asked = plain.clone().or_absent(Some(0xffff)).unwrap();
        assert_eq!([asked.accept(&[0xff, 0xff]), asked.accept(&[0, 9])], [Some(0xffff), Some(9)]);
        assert_eq!([asked.accept(&[0xff, 0xfe]), asked.accept(&[0, 10])], [None, None]);
        assert_eq!(plain.or_absent(Some(0x1_0000)), None, "the cells cannot hold it");
    }

    #[test]
    fn a_range_that_the_cells_cannot_hold_is_refused() {
        for (is_signed, low, high) in [(false, 0, 65_536), (true, -32_769, 0), (true, -1, 40_000), (false, 5, 4)] {
            let form = Form::number(Width::One, is_signed);
            assert_eq!(Writable::new(form, low, high), None, "{low}..{high}");
        }
        assert_eq!(Writable::new(Form::Coil, 0, 2), None);
        assert!(Writable::new(Form::number(Width::Four, true), i64::MIN, i64::MAX).is_some());
    }
}
