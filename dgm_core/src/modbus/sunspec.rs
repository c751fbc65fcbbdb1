//! SunSpec discovery: finds the map at its three known bases and walks the chain of models.
//!
//! ```text
//! base (40000, 0, 50000): "SunS" │ id, length │ ... │ id, length │ ... │ 0xffff
//!   first read  └─────── up to the second header ──┘        further reads  └── as long as may be ──┘
//! ```
//!
//! Long reads bring several headers at once. A device that refuses one, or is silent to it, is asked for the headers alone
//! from there on. At base 40000 that is at most one read per model and one more (two more where the first long read is
//! refused). A model's announced length is believed for finding the next one; every walk is bounded. It does not know
//! what the models mean: `models` does.
use super::learnt::{Learnt, IDENTITY, SHORT};
use super::pdu::{RegisterBytes, Span, READ_MAX};
use super::session::Failure;
use super::tables::HEADER;

/// Where a SunSpec map may begin, in the order of trying.
pub const BASES: [u16; 3] = [40_000, 0, 50_000];
/// Most models of one device.
pub const MODELS_MAX: usize = 64;

/// "SunS".
pub const MARKER: [u16; 2] = [0x5375, 0x6e53];
const MARKER_SIZE: u16 = 2;
/// Number of a model behind which there is none.
pub const END: u16 = 0xffff;
/// Marker, model 1 (66 registers behind its header) and the header behind it: every device has them.
const FIRST_LONG: u16 = MARKER_SIZE + HEADER + 66 + HEADER;
const FIRST_SHORT: u16 = MARKER_SIZE + HEADER;

/// One model of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Number of the model.
    pub id: u16,
    /// Address of its header.
    pub address: u16,
    /// Registers behind the header, as announced.
    pub length: u16,
}

impl Model {
    /// Registers from `first` to `last`, counted from the header; `None` where the device announced fewer.
    pub fn span(&self, first: u16, last: u16) -> Option<Span> {
        let end = self.length.checked_add(HEADER)?;
        (last < end).then_some(())?;
        let start = self.address.checked_add(first)?;
        let span = Span { start, count: last.checked_sub(first)?.checked_add(1)? };
        span.is_addressable().then_some(span)
    }

    /// Where the next header stands.
    fn next(&self) -> Option<u16> {
        self.address.checked_add(HEADER)?.checked_add(self.length)
    }
}

/// All models of a device, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelMap(Vec<Model>);

impl ModelMap {
    /// Models in the device's order.
    pub fn of(models: Vec<Model>) -> Self {
        Self(models)
    }

    /// A chain that begins at the first base: models by number and length, one behind the other.
    pub fn chained(models: &[(u16, u16)]) -> Self {
        let first = BASES.first().copied().unwrap_or_default() + MARKER_SIZE;
        let place = |address: &mut u16, (id, length): &(u16, u16)| {
            let model = Model { id: *id, address: *address, length: *length };
            *address = model.next().unwrap_or(u16::MAX);
            Some(model)
        };
        Self(models.iter().scan(first, place).collect())
    }

    /// The first model with one of the numbers.
    pub fn find(&self, ids: impl Fn(u16) -> bool) -> Option<Model> {
        self.0.iter().copied().find(|model| ids(model.id))
    }

    /// In the device's order.
    pub fn models(&self) -> &[Model] {
        &self.0
    }
}

/// Where the walk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask again with `next_span`.
    More,
    /// The whole chain.
    Found(ModelMap),
    /// There is no SunSpec map.
    NoMap,
    /// The device did not answer; what was found so far is forgotten.
    Lost,
}

/// A walk through one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    step: Step,
    /// Long reads are not refused yet.
    is_long: bool,
    map: ModelMap,
    /// Where the map begins, what its common model says of the device as far as it is read, and where the end marker is.
    base: u16,
    identity: Vec<u16>,
    end: Option<u16>,
    /// The identity came with the first long read.
    was_long: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Probe {
        base: usize,
    },
    Header {
        address: u16,
    },
    /// The chain is known; which device it is, the short reads have not shown.
    Identity,
}

impl Default for Scan {
    fn default() -> Self {
        let (map, identity) = (ModelMap::default(), Vec::new());
        Self { step: Step::Probe { base: 0 }, is_long: true, map, base: 0, identity, end: None, was_long: false }
    }
}

impl Scan {
    /// A walk from header to header, for a device that was silent to the long reads.
    pub fn short() -> Self {
        Self { is_long: false, ..Self::default() }
    }

    /// What is known of the device after a walk that found `map`; `None`: nothing says which one it is.
    pub fn learnt(&self, map: &ModelMap) -> Option<Learnt> {
        let (base, end, is_long) = (self.base, self.end, self.was_long);
        let learnt = Learnt { base, identity: self.identity.clone(), models: map.0.clone(), end, is_long };
        learnt.check().is_ok().then_some(learnt)
    }

    /// What to read next.
    pub fn next_span(&self) -> Span {
        let (start, long, short) = match self.step {
            Step::Probe { base } => (BASES.get(base).copied().unwrap_or_default(), FIRST_LONG, FIRST_SHORT),
            Step::Header { address } => (address, READ_MAX, HEADER),
            Step::Identity => (self.identity_at(), SHORT, SHORT),
        };
        // A long read ends with the address space; the last register may be the end marker alone.
        let room = u16::MAX - start;
        Span { start, count: if self.is_long { long } else { short }.min(room.saturating_add(1)) }
    }

    /// Takes what the device answered to `next_span`.
    pub fn advance(&mut self, answer: Result<RegisterBytes<'_>, Failure>) -> Progress {
        match (self.step, answer) {
            (_, Err(Failure::Disconnected)) => Progress::Lost,
            (Step::Probe { base }, Ok(words)) if words.iter().take(2).eq(MARKER) => {
                let marked = BASES.get(base).copied().unwrap_or_default();
                let common = words.slice(usize::from(MARKER_SIZE + HEADER), usize::from(IDENTITY));
                (self.base, self.identity) = (marked, common.into_iter().flat_map(RegisterBytes::iter).collect());
                self.was_long = common.is_some();
                self.walk(marked + MARKER_SIZE, marked, words)
            }
            (Step::Probe { base }, Ok(_)) => self.probe(base + 1),
            (Step::Header { address }, Ok(words)) => self.walk(address, address, words),
            (Step::Identity, answer) => self.identify(answer),
            (Step::Header { .. }, Err(_)) if self.is_long => {
                self.is_long = false;
                Progress::More
            }
            (_, Err(Failure::TimedOut)) => Progress::Lost,
            (Step::Probe { base }, Err(_)) => self.probe(base + 1),
            (Step::Header { .. }, Err(Failure::Refused(_))) => self.end(),
            (Step::Header { .. }, Err(_)) => Progress::Lost,
        }
    }

    /// The next base; after the last the first again, with short reads.
    fn probe(&mut self, base: usize) -> Progress {
        let base = if base >= BASES.len() && self.is_long {
            self.is_long = false;
            0
        } else {
            base
        };
        if base >= BASES.len() {
            return Progress::NoMap;
        }
        self.step = Step::Probe { base };
        Progress::More
    }

    /// Takes the headers from `address` on among words read from `first`; a chain that leaves the address space or its
    /// bound ends.
    fn walk(&mut self, mut address: u16, first: u16, words: RegisterBytes<'_>) -> Progress {
        loop {
            let at = usize::from(address - first);
            match (words.get(at), words.get(at + 1)) {
                (Some(id), Some(length)) if id != END && length != 0 => {
                    let model = Model { id, address, length };
                    self.map.0.push(model);
                    match model.next().filter(|_| self.map.0.len() < MODELS_MAX) {
                        Some(next) => address = next,
                        None => return self.end(),
                    }
                }
                (Some(END), _) => {
                    self.end = Some(address);
                    return self.end();
                }
                (Some(_), Some(_)) => return self.end(),
                // Half a header at the end of the address space.
                _ if address == u16::MAX => return self.end(),
                _ => {
                    self.step = Step::Header { address };
                    return Progress::More;
                }
            }
        }
    }

    /// A device that was walked through by short reads is asked who it is.
    fn end(&mut self) -> Progress {
        let is_common = self.map.0.first().is_some_and(|model| model.id == 1 && model.length >= IDENTITY);
        if is_common && self.identity.is_empty() {
            self.step = Step::Identity;
            return Progress::More;
        }
        self.found()
    }

    fn identify(&mut self, answer: Result<RegisterBytes<'_>, Failure>) -> Progress {
        match answer {
            Ok(words) => self.identity.extend(words.iter()),
            // It is served all the same, and walked through each time.
            Err(_) => self.identity = Vec::new(),
        }
        if (1..usize::from(IDENTITY)).contains(&self.identity.len()) {
            return Progress::More;
        }
        self.found()
    }

    fn identity_at(&self) -> u16 {
        let read = u16::try_from(self.identity.len()).unwrap_or_default();
        self.base.saturating_add(MARKER_SIZE + HEADER).saturating_add(read)
    }

    fn found(&mut self) -> Progress {
        Progress::Found(std::mem::take(&mut self.map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::pdu::Exception;
    use super::super::point::wire;
    use super::*;
    use proptest::prelude::*;

    /// Walks a device given as a function from span to answer; the last progress and the number of reads.
    fn walk(device: impl Fn(Span) -> Result<Vec<u16>, Failure>) -> (Progress, usize) {
        let mut scan = Scan::default();
        for reads in 1..1000 {
            let answer = device(scan.next_span()).map(|words| wire(&words));
            match scan
                .advance(answer.as_ref().map(|bytes| RegisterBytes::new(bytes).unwrap()).map_err(|failure| *failure))
            {
                Progress::More => {}
                done => return (done, reads),
            }
        }
        panic!("the walk does not end");
    }

    const MISSING: Failure = Failure::Refused(Exception::IllegalAddress);

    /// Registers from `base` on: the marker, the chain, and nothing behind it.
    fn image(chain: &[(u16, u16)]) -> Vec<u16> {
        let mut words = MARKER.to_vec();
        for (id, length) in chain {
            words.extend([*id, *length]);
            words.extend(std::iter::repeat_n(7, usize::from(*length)));
        }
        words
    }

    fn device(base: u16, words: Vec<u16>) -> impl Fn(Span) -> Result<Vec<u16>, Failure> {
        move |span| {
            let at = usize::from(span.start.checked_sub(base).ok_or(MISSING)?);
            words.get(at..at + usize::from(span.count)).map(<[u16]>::to_vec).ok_or(MISSING)
        }
    }

    fn models(chain: &[(u16, u16)], base: u16) -> ModelMap {
        let mut address = base + 2;
        let model = |(id, length): &(u16, u16)| {
            let model = Model { id: *id, address, length: *length };
            address += 2 + length;
            model
        };
        ModelMap(chain.iter().map(model).collect())
    }

    const CHAIN: [(u16, u16); 6] = [(1, 66), (701, 153), (702, 50), (703, 17), (704, 65), (713, 7)];

    fn with_end(chain: &[(u16, u16)]) -> Vec<u16> {
        let mut words = image(chain);
        words.extend([0xffff, 0]);
        words
    }

    #[test]
    fn a_chain_takes_fewer_reads_than_it_has_models() {
        let (progress, reads) = walk(device(40_000, with_end(&CHAIN)));
        assert_eq!(progress, Progress::Found(models(&CHAIN, 40_000)));
        // 1 and the header of 701; 702 to 704; 713 and the end, refused as it is long, then alone twice.
        assert_eq!(reads, 5);
    }

    #[test]
    fn every_known_base_is_tried() {
        for base in BASES {
            let (progress, _) = walk(device(base, with_end(&CHAIN)));
            assert_eq!(progress, Progress::Found(models(&CHAIN, base)));
        }
        assert_eq!(walk(|span| Ok(vec![0; usize::from(span.count)])).0, Progress::NoMap);
        assert_eq!(walk(|_| Err(MISSING)), (Progress::NoMap, 6));
    }

    #[test]
    fn a_device_that_refuses_or_ignores_long_reads_is_walked_header_by_header() {
        for failure in [MISSING, Failure::Refused(Exception::IllegalValue), Failure::Malformed] {
            let whole = device(40_000, with_end(&CHAIN));
            let short = |span: Span| if span.count > 4 { Err(failure) } else { whole(span) };
            assert_eq!(walk(short).0, Progress::Found(models(&CHAIN, 40_000)));
        }
        let whole = device(40_000, with_end(&CHAIN));
        let deaf = |span: Span| if span.count > 80 { Err(Failure::TimedOut) } else { whole(span) };
        assert_eq!(walk(deaf).0, Progress::Found(models(&CHAIN, 40_000)));
    }

    #[test]
    fn a_broken_end_marker_ends_the_chain() {
        for end in [vec![], vec![0xffff], vec![0, 0], vec![5, 0], vec![0xffff, 9, 9, 9]] {
            let mut words = image(&CHAIN);
            words.extend(end);
            assert_eq!(walk(device(40_000, words)).0, Progress::Found(models(&CHAIN, 40_000)));
        }
    }

    #[test]
    fn a_common_model_of_65_registers_is_one_too() {
        let chain = [(1, 65), (203, 105)];
        assert_eq!(walk(device(40_000, with_end(&chain))).0, Progress::Found(models(&chain, 40_000)));
    }

    #[test]
    fn an_endless_chain_is_bounded() {
        let count = |span: Span| usize::from(span.count);
        let endless = |span: Span| {
            let ones = |span| std::iter::repeat_n([7, 1, 7], count(span)).flatten().collect::<Vec<u16>>();
            let words = if span.start == 40_000 { [MARKER.to_vec(), ones(span)].concat() } else { ones(span) };
            Ok(words[..count(span)].to_vec())
        };
        let (Progress::Found(map), _) = walk(endless) else { panic!("no map") };
        assert_eq!(map.models().len(), MODELS_MAX);
        let huge = |span: Span| Ok([&MARKER[..], &vec![65_000; count(span)]].concat()[..count(span)].to_vec());
        let (Progress::Found(map), _) = walk(huge) else { panic!("no map") };
        assert_eq!(map.models().len(), 1);
    }

    #[test]
    fn silence_is_not_the_end_of_a_chain() {
        let whole = device(40_000, with_end(&CHAIN));
        let silent = |span: Span| if span.start == 40_000 { whole(span) } else { Err(Failure::TimedOut) };
        assert_eq!(walk(silent).0, Progress::Lost);
        assert_eq!(walk(|_| Err(Failure::TimedOut)), (Progress::Lost, 1));
    }

    #[test]
    fn a_model_that_announces_too_few_registers_has_no_such_span() {
        let model = Model { id: 701, address: 40_070, length: 119 };
        assert_eq!(model.span(3, 120), Some(Span { start: 40_073, count: 118 }));
        assert_eq!(model.span(3, 121), None);
        assert_eq!(Model { id: 1, address: 65_530, length: 100 }.span(3, 50), None);
    }

    proptest! {
        #[test]
        fn any_chain_is_found_in_at_most_a_read_per_model_and_one_more(
            lengths in prop::collection::vec(1u16..400, 1..40), ids in 2u16..900,
        ) {
            let mut chain = vec![(1, 66)];
            chain.extend((ids..).zip(lengths));
            let (progress, reads) = walk(device(40_000, with_end(&chain)));
            prop_assert_eq!(progress, Progress::Found(models(&chain, 40_000)));
            prop_assert!(reads <= chain.len() + 1, "{} reads for {} models", reads, chain.len());
        }

        #[test]
        fn any_registers_end_the_walk(words in prop::collection::vec(any::<u16>(), 0..900), base in 0usize..3) {
            let (progress, reads) = walk(device(BASES[base], [&MARKER[..], &words].concat()));
            prop_assert!(matches!(progress, Progress::Found(_) | Progress::NoMap));
            prop_assert!(reads <= 2 * MODELS_MAX + 8);
        }
    }
}
