//! The server beside a plain model of the same rules: any sequence of reads, writes, publications and waiting.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::writable::{Form, Width, Writable};
use super::write_table::{Lease, Rule};
use super::*;

const SIZE: u16 = 20;
/// A word held for 100 ms, then beside it a 32-bit limit that holds for as many 50 ms as its third word says, 1 to 3.
const WORD: u16 = 7;
const GROUP: u16 = 8;
const FALLBACKS: (u16, [u16; 3]) = (9, [0, 5, 0]);

#[derive(Clone, Debug)]
enum Step {
    Read(u16, u16),
    WriteOne(u16, u16),
    WriteMany(u16, Vec<u16>),
    Publish(u16, Vec<u16>),
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let words = || prop::collection::vec(prop_oneof![0u16..5, Just(60), Just(0xffff)], 1..6);
    prop_oneof![
        (0u16..24, 1u16..9).prop_map(|(start, count)| Step::Read(start, count)),
        (5u16..13, 0u16..70).prop_map(|(address, value)| Step::WriteOne(address, value)),
        (5u16..13, words()).prop_map(|(start, words)| Step::WriteMany(start, words)),
        (Just(GROUP), (0u16..2, 0u16..50, 0u16..5).prop_map(|(high, low, n)| vec![high, low, n]))
            .prop_map(|(start, words)| Step::WriteMany(start, words)),
        (0u16..22, words()).prop_map(|(start, words)| Step::Publish(start, words)),
        (0i64..120).prop_map(Step::Wait),
    ]
}

struct Model {
    words: [u16; 20],
    word_until: Option<i64>,
    group_until: Option<i64>,
    now: i64,
}

impl Model {
    fn expire(&mut self) {
        if self.word_until.is_some_and(|until| until <= self.now) {
            (self.word_until, self.words[usize::from(WORD)]) = (None, FALLBACKS.0);
        }
        if self.group_until.is_some_and(|until| until <= self.now) {
            self.group_until = None;
            self.words[usize::from(GROUP)..][..3].copy_from_slice(&FALLBACKS.1);
        }
    }

    fn slots(&mut self, start: u16, count: usize) -> Option<&mut [u16]> {
        self.words.get_mut(usize::from(start)..usize::from(start) + count)
    }

    /// The exception, if the write is refused.
    fn write(&mut self, start: u16, words: &[u16]) -> Option<u8> {
        let (mut address, mut rest) = (start, words);
        while let Some(first) = rest.first() {
            let count = match address {
                WORD if *first <= 50 => 1,
                GROUP if rest.len() >= 3 && *first == 0 && rest[1] <= 40 && (1..=3).contains(&rest[2]) => 3,
                WORD | GROUP => return Some(3),
                _ if (GROUP..GROUP + 3).contains(&address) => return Some(3),
                _ => return Some(2),
            };
            (address, rest) = (address + count, &rest[usize::from(count)..]);
        }
        self.slots(start, words.len()).unwrap().copy_from_slice(words);
        let held = |address: u16| (start..address_end(start, words)).contains(&address);
        if held(WORD) {
            self.word_until = Some(self.now + 100);
        }
        if held(GROUP) {
            self.group_until = Some(self.now + 50 * i64::from(self.words[usize::from(GROUP) + 2]));
        }
        None
    }

    fn answer(&mut self, step: &Step) -> Vec<u8> {
        self.expire();
        let refused = |function: u8, code: u8| vec![function | 0x80, code];
        let told = |function: u8, fields: [u16; 2]| {
            [vec![function], fields.iter().flat_map(|field| field.to_be_bytes()).collect()].concat()
        };
        match step {
            Step::Read(start, count) => match self.slots(*start, usize::from(*count)) {
                Some(words) => {
                    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                    [vec![3, u8::try_from(bytes.len()).unwrap()], bytes].concat()
                }
                None => refused(3, 2),
            },
            Step::WriteOne(address, value) => match self.write(*address, &[*value]) {
                None => told(6, [*address, *value]),
                Some(code) => refused(6, code),
            },
            Step::WriteMany(start, words) => match self.write(*start, words) {
                None => told(16, [*start, u16::try_from(words.len()).unwrap()]),
                Some(code) => refused(16, code),
            },
            Step::Publish(..) | Step::Wait(_) => Vec::new(),
        }
    }
}

fn address_end(start: u16, words: &[u16]) -> u16 {
    start + u16::try_from(words.len()).unwrap()
}

fn bytes(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn server() -> Server {
    let mut server = Server::new(1);
    server.define(1, Table::Holding, Span { start: 0, count: SIZE }).unwrap();
    let word = |low, high| Writable::new(Form::number(Width::One, false), low, high).unwrap();
    let limit = Writable::new(Form::number(Width::Two, false), 0, 40).unwrap();
    let single = Rule::open(Lease::Fixed(Millis::new(100)));
    let lease = Lease::Written { member: 1, step: Millis::new(50), longest: Millis::new(150) };
    let values = vec![(limit, i64::from(FALLBACKS.1[1])), (word(0, 0xffff), 0)];
    server.allow_write(1, Table::Holding, Group::new(GROUP, values, Rule::open(lease)).unwrap()).unwrap();
    let value = vec![(word(0, 50), i64::from(FALLBACKS.0))];
    server.allow_write(1, Table::Holding, Group::new(WORD, value, single).unwrap()).unwrap();
    server
}

fn request(step: &Step) -> Option<Vec<u8>> {
    let fields = |function: u8, first: u16, second: u16| [vec![function], bytes(&[first, second])].concat();
    match step {
        Step::Read(start, count) => Some(fields(3, *start, *count)),
        Step::WriteOne(address, value) => Some(fields(6, *address, *value)),
        Step::WriteMany(start, words) => {
            let count = u16::try_from(words.len()).unwrap();
            let length = u8::try_from(words.len() * 2).unwrap();
            Some([fields(16, *start, count), vec![length], bytes(words)].concat())
        }
        Step::Publish(..) | Step::Wait(_) => None,
    }
}

proptest! {
    #[test]
    fn it_answers_as_a_plain_model_would(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut server = server();
        let mut model = Model { words: [0; 20], word_until: None, group_until: None, now: 0 };
        let party = Arc::new(Party::default());
        for step in &steps {
            let now = Millis::new(model.now);
            let mut found = Vec::new();
            if let Some(pdu) = request(step) {
                prop_assert_ne!(server.answer(1, &pdu, &party, now, &mut found), Answer::Close);
                prop_assert_eq!(&found, &model.answer(step), "{:?}", step);
            }
            match step {
                Step::Wait(span) => model.now += span,
                Step::Publish(start, words) => {
                    let published = server.publish(1, Table::Holding, *start, &bytes(words)).is_ok();
                    let slots = model.slots(*start, words.len());
                    prop_assert_eq!(published, slots.is_some());
                    slots.into_iter().for_each(|slots| slots.copy_from_slice(words));
                }
                _ => {}
            }
            let expected = model.word_until.into_iter().chain(model.group_until).min();
            prop_assert!(server.next_expiry().map(Millis::get) <= expected || expected.is_none());
            prop_assert!(server.next_expiry().is_some() || expected.is_none());
        }
    }
}
