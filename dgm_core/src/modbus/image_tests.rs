//! What a copy of the register image shows.
use super::*;
use proptest::prelude::*;

const AGE_MAX: Micros = Micros::from_millis(1_000);

fn block(registers: usize) -> Block {
    Block { registers, age_max: AGE_MAX }
}

struct Copy {
    words: Vec<Cell<u64>>,
    stamps: Vec<Cell<i64>>,
}

impl Copy {
    fn new(image: &RegisterImage) -> Self {
        let (words, stamps) = (vec![Cell::new(0); image.words()], vec![Cell::new(0); image.rows() * STAMP_WIDTH]);
        let copy = Self { words, stamps };
        assert_eq!(copy.refresh(image).len(), image.devices(), "all of it at first");
        copy
    }

    fn refresh(&self, image: &RegisterImage) -> Vec<usize> {
        let mut changed = Vec::new();
        image.copy_changed(&self.words, &self.stamps, |device| changed.push(device));
        changed
    }

    /// As Python sees it: the memory of the copy as native 16-bit numbers.
    fn registers(&self) -> Vec<u16> {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.get().to_ne_bytes()).collect();
        bytes.chunks(2).map(|pair| u16::from_ne_bytes(pair.try_into().unwrap())).collect()
    }

    fn row(&self, row: usize) -> Vec<i64> {
        self.stamps[row * STAMP_WIDTH..][..STAMP_WIDTH].iter().map(Cell::get).collect()
    }
}

fn stamp(read_at: i64) -> Stamp {
    Stamp {
        quality: Quality::Good,
        read_at: Micros::from_millis(read_at),
        due_at: Micros::from_millis(read_at - 1),
        sequence: 1,
    }
}

fn wire(registers: &[u16]) -> Vec<u8> {
    registers.iter().flat_map(|register| register.to_be_bytes()).collect()
}

#[test]
fn registers_stand_in_order_whatever_their_number_and_device() {
    let image = RegisterImage::new(&[vec![block(3), block(5)], vec![block(1)]]);
    let copy = Copy::new(&image);
    image.write(0, 1, Registers::Words(&wire(&[10, 20, 30, 40, 0xFFFE])), stamp(1));
    image.write(1, 2, Registers::Words(&wire(&[7])), stamp(1));
    assert_eq!(copy.refresh(&image), [0, 1]);
    assert_eq!(copy.registers(), [0, 0, 0, 0, 10, 20, 30, 40, 0xFFFE, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!([0, 1, 2].map(|row| image.offset(row).unwrap()), [0, 4, 12]);
    assert_eq!((image.rows_of(0), image.rows_of(1), image.rows_of(2)), (Some(0..2), Some(2..3), None));
}

#[test]
fn bits_take_a_register_each() {
    let image = RegisterImage::new(&[vec![block(11)]]);
    let copy = Copy::new(&image);
    image.write(0, 0, Registers::Bits(&[0b1100_0101, 0b0000_0110]), stamp(1));
    copy.refresh(&image);
    assert_eq!(copy.registers(), [1, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0]);
}

#[test]
fn only_what_changed_is_copied_and_only_once() {
    let image = RegisterImage::new(&vec![vec![block(1)]; 130]);
    let copy = Copy::new(&image);
    image.write(129, 129, Registers::Words(&wire(&[9])), stamp(1));
    image.mark(3, 3, stamp(2));
    assert_eq!(copy.refresh(&image), [3, 129]);
    assert_eq!(copy.refresh(&image), [0; 0]);
    assert_eq!(copy.registers()[129 * PACKED], 9);
}

#[test]
fn an_age_grows_with_the_clock_of_the_reader_and_what_is_too_old_is_stale() {
    let image = RegisterImage::new(&[vec![block(1), block(1)]]);
    let copy = Copy::new(&image);
    image.write(0, 0, Registers::Words(&wire(&[1])), stamp(5_000));
    image.mark(0, 1, Stamp::NEVER);
    copy.refresh(&image);
    image.age(&copy.stamps, Micros::from_millis(6_000));
    assert_eq!(copy.row(0), [Quality::Good.number(), 5_000_000, 4_999_000, 1_000, 1]);
    image.age(&copy.stamps, Micros::from_millis(6_001));
    assert_eq!(copy.row(0), [Quality::Stale.number(), 5_000_000, 4_999_000, 1_001, 1]);
    assert_eq!(copy.row(1), [Quality::Never.number(), 0, 0, NEVER_READ, 0]);
}

proptest! {
    #[test]
    fn what_came_off_the_wire_is_what_is_read(registers in prop::collection::vec(any::<u16>(), 1..=125)) {
        let image = RegisterImage::new(&[vec![block(registers.len())]]);
        let copy = Copy::new(&image);
        image.write(0, 0, Registers::Words(&wire(&registers)), stamp(1));
        copy.refresh(&image);
        prop_assert_eq!(&copy.registers()[..registers.len()], &registers[..]);
    }
}
