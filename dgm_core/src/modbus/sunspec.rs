//! SunSpec discovery: finds the map at its three known bases and walks the chain of models.
//!
//! ```text
//! base (40000, 0, 50000): "SunS" │ id, length │ ... │ id, length │ ... │ 0xffff
//! ```
//!
//! Reads two registers per model and nothing inside a model. A model's announced length is believed for finding the
//! next one; every walk is bounded. It does not know what the models mean: `models` does.
use super::pdu::{Exception, Span};
use super::session::Failure;

/// Where a SunSpec map may begin, in the order of trying.
pub const BASES: [u16; 3] = [40_000, 0, 50_000];
/// Most models of one device.
pub const MODELS_MAX: usize = 64;

const MARKER: [u16; 2] = [0x5375, 0x6e53];
const END: u16 = 0xffff;
const HEADER: u16 = 2;

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
}

/// All models of a device, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelMap(Vec<Model>);

impl ModelMap {
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
#[derive(Clone, Debug)]
pub struct Scan {
    step: Step,
    map: ModelMap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Probe { base: usize },
    Header { address: u16 },
}

impl Default for Scan {
    fn default() -> Self {
        Self { step: Step::Probe { base: 0 }, map: ModelMap::default() }
    }
}

impl Scan {
    /// What to read next.
    pub fn next_span(&self) -> Span {
        let start = match self.step {
            Step::Probe { base } => BASES.get(base).copied().unwrap_or_default(),
            Step::Header { address } => address,
        };
        Span { start, count: 2 }
    }

    /// Takes what the device answered to `next_span`.
    pub fn advance(&mut self, answer: Result<&[u16], Failure>) -> Progress {
        match (self.step, answer) {
            (_, Err(Failure::TimedOut | Failure::Disconnected)) => Progress::Lost,
            (Step::Probe { base }, Ok(words)) if words == MARKER => {
                let address = BASES.get(base).copied().unwrap_or_default() + HEADER;
                self.header_at(Some(address))
            }
            (Step::Probe { base }, _) => self.probe(base + 1),
            (Step::Header { address }, Ok([id, length])) if *id != END && *length != 0 => {
                self.map.0.push(Model { id: *id, address, length: *length });
                let next = address.checked_add(HEADER).and_then(|body| body.checked_add(*length));
                self.header_at(next)
            }
            (Step::Header { .. }, Ok(_) | Err(Failure::Refused(Exception::IllegalAddress))) => self.end(),
            (Step::Header { .. }, Err(_)) => Progress::Lost,
        }
    }

    fn probe(&mut self, base: usize) -> Progress {
        if base >= BASES.len() {
            return Progress::NoMap;
        }
        self.step = Step::Probe { base };
        Progress::More
    }

    /// Continues at the next header; a chain that leaves the address space or its bound ends here.
    fn header_at(&mut self, address: Option<u16>) -> Progress {
        match address.filter(|address| *address < u16::MAX && self.map.0.len() < MODELS_MAX) {
            Some(address) => {
                self.step = Step::Header { address };
                Progress::More
            }
            None => self.end(),
        }
    }

    fn end(&mut self) -> Progress {
        Progress::Found(std::mem::take(&mut self.map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Walks a device given as a function from span to answer; the last progress and the number of reads.
    fn walk(device: impl Fn(Span) -> Result<Vec<u16>, Failure>) -> (Progress, usize) {
        let mut scan = Scan::default();
        for reads in 1..1000 {
            let answer = device(scan.next_span());
            match scan.advance(answer.as_deref().map_err(|failure| *failure)) {
                Progress::More => {}
                done => return (done, reads),
            }
        }
        panic!("the walk does not end");
    }

    const MISSING: Failure = Failure::Refused(Exception::IllegalAddress);

    fn device(base: u16, chain: Vec<(u16, u16)>) -> impl Fn(Span) -> Result<Vec<u16>, Failure> {
        move |span| {
            if span.start == base {
                return Ok(MARKER.to_vec());
            }
            let mut address = base + 2;
            for (id, length) in &chain {
                if span.start == address {
                    return Ok(vec![*id, *length]);
                }
                address = address.wrapping_add(2 + length);
            }
            Err(MISSING)
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

    #[test]
    fn a_chain_is_walked_in_one_read_per_model_and_two_more() {
        let chain = vec![(1, 66), (203, 105), (0xffff, 0)];
        assert_eq!(walk(device(40_000, chain.clone())), (Progress::Found(models(&chain[..2], 40_000)), 4));
    }

    #[test]
    fn every_known_base_is_tried() {
        for base in BASES {
            let (progress, _) = walk(device(base, vec![(1, 66), (0xffff, 0)]));
            assert_eq!(progress, Progress::Found(models(&[(1, 66)], base)));
        }
        assert_eq!(walk(|_| Ok(vec![0, 0])), (Progress::NoMap, 3));
        assert_eq!(walk(|_| Err(MISSING)).0, Progress::NoMap);
    }

    #[test]
    fn a_broken_end_marker_ends_the_chain() {
        for end in [vec![(1, 66)], vec![(1, 66), (0, 0)], vec![(1, 66), (5, 0)]] {
            let (progress, _) = walk(device(40_000, end));
            assert_eq!(progress, Progress::Found(models(&[(1, 66)], 40_000)));
        }
    }

    #[test]
    fn an_endless_chain_is_bounded() {
        let endless = |span: Span| Ok(if span.start == 40_000 { MARKER.to_vec() } else { vec![7, 1] });
        let (Progress::Found(map), _) = walk(endless) else { panic!("no map") };
        assert_eq!(map.models().len(), MODELS_MAX);
        let huge = |span: Span| Ok(if span.start == 40_000 { MARKER.to_vec() } else { vec![7, 65_000] });
        let (Progress::Found(map), _) = walk(huge) else { panic!("no map") };
        assert_eq!(map.models().len(), 1);
    }

    #[test]
    fn silence_is_not_the_end_of_a_chain() {
        let silent = |span: Span| if span.start == 40_000 { Ok(MARKER.to_vec()) } else { Err(Failure::TimedOut) };
        assert_eq!(walk(silent).0, Progress::Lost);
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
        fn any_chain_ends_and_keeps_its_order(words in prop::collection::vec((any::<u16>(), any::<u16>()), 0..90)) {
            let (progress, reads) = walk(device(40_000, words));
            prop_assert!(matches!(progress, Progress::Found(_)));
            prop_assert!(reads <= MODELS_MAX + 2);
        }
    }
}
