//! A SunSpec device for tests: registers with a chain of models that answers requests as the protocol says.
use super::pdu::{Exception, RegisterBytes, Reply, Request, Span};
use super::point::wire;
use super::session::Failure;
use super::sunspec::{ModelMap, Progress, Scan};

/// One run of words.
#[derive(Default)]
struct Registers {
    start: u16,
    words: Vec<u16>,
}

impl Registers {
    fn define(&mut self, span: Span) {
        (self.start, self.words) = (span.start, vec![0; usize::from(span.count)]);
    }

    fn read(&self, span: Span) -> Option<&[u16]> {
        let at = usize::from(span.start.checked_sub(self.start)?);
        self.words.get(at..at + usize::from(span.count))
    }

    fn replace(&mut self, start: u16, words: &[u16]) -> Option<()> {
        let at = usize::from(start.checked_sub(self.start)?);
        self.words.get_mut(at..at + words.len())?.copy_from_slice(words);
        Some(())
    }
}

/// Registers at 40000 with the given models, every point "not implemented" (0x8000) until set.
pub struct FakeDevice {
    registers: Registers,
    models: Vec<(u16, u16)>,
    /// Blocks written, in order: address and words.
    pub writes: Vec<(u16, Vec<u16>)>,
    /// The next request is answered with this.
    pub fail_next: Option<Failure>,
}

impl FakeDevice {
    /// Models as (number, length without header).
    pub fn new(models: &[(u16, u16)]) -> Self {
        let mut registers = Registers::default();
        let mut words = vec![0x5375, 0x6e53];
        for (id, length) in models {
            words.extend([*id, *length]);
            words.extend(std::iter::repeat_n(0x8000, usize::from(*length)));
        }
        words.extend([0xffff, 0]);
        registers.define(Span { start: 40_000, count: u16::try_from(words.len()).unwrap() });
        registers.replace(40_000, &words).unwrap();
        Self { registers, models: models.to_vec(), writes: Vec::new(), fail_next: None }
    }

    /// A battery inverter: 100 kW, scale factors 0, setpoint off.
    pub fn battery() -> Self {
        let mut device = Self::new(&[(1, 66), (701, 153), (704, 65), (713, 7)]);
        device.set(704, 55, &[0]);
        device.set(701, 10, &[5_000]);
        device.set(701, 116, &[0]);
        device.set(713, 4, &[505]);
        device.set(713, 8, &[0xffff]);
        device
    }

    /// A PV inverter with a maximum of 50 kW.
    pub fn pv() -> Self {
        let mut device = Self::new(&[(1, 66), (701, 153), (702, 50), (704, 65)]);
        device.set(702, 26, &[500]);
        device.set(702, 45, &[2]);
        device.set(704, 54, &[0xfffe]);
        device.set(701, 10, &[3_000]);
        device.set(701, 116, &[0]);
        device
    }

    /// A hybrid inverter of the old models: 50 kW PV by 123, 20 kW battery by 124, revert timers there.
    pub fn old() -> Self {
        let mut device = Self::new(&[(1, 66), (103, 50), (120, 26), (121, 30), (122, 44), (123, 24), (124, 24)]);
        device.set(103, 14, &[3_000, 0]);
        device.set(120, 25, &[150, 2]);
        device.set(121, 2, &[500]);
        device.set(121, 22, &[2]);
        device.set(123, 5, &[1_000, 0, 0, 0xffff, 0]);
        device.set(123, 23, &[0xffff]);
        device.set(124, 2, &[200]);
        device.set(124, 12, &[0, 0, 9, 0, 0xffff]);
        device.set(124, 18, &[2]);
        device.set(124, 25, &[0xffff]);
        device
    }

    /// A meter that shows 1234 W of import.
    pub fn meter() -> Self {
        let mut device = Self::new(&[(1, 66), (203, 105)]);
        device.set(203, 18, &[1_234]);
        device.set(203, 22, &[0]);
        device
    }

    /// Address of a model's header.
    pub fn address(&self, id: u16) -> u16 {
        let mut address = 40_002;
        for (found, length) in &self.models {
            if *found == id {
                return address;
            }
            address += 2 + length;
        }
        panic!("no model {id}")
    }

    /// Sets words at an offset of a model.
    pub fn set(&mut self, id: u16, offset: u16, words: &[u16]) {
        let start = self.address(id) + offset;
        self.registers.replace(start, words).unwrap();
    }

    /// Sets words at an address.
    pub fn set_at(&mut self, address: u16, words: &[u16]) {
        self.registers.replace(address, words).unwrap();
    }

    /// Words at an offset of a model.
    pub fn get(&self, id: u16, offset: u16, count: u16) -> Vec<u16> {
        self.registers.read(Span { start: self.address(id) + offset, count }).unwrap().to_vec()
    }

    /// Words of a span.
    pub fn words(&self, span: Span) -> Vec<u16> {
        self.registers.read(span).unwrap().to_vec()
    }

    /// Carries a request out.
    pub fn answer(&mut self, request: &Request) -> Result<Reply, Failure> {
        if let Some(failure) = self.fail_next.take() {
            return Err(failure);
        }
        let missing = Failure::Refused(Exception::IllegalAddress);
        match request {
            Request::Read { span, .. } => {
                self.registers.read(*span).map(|words| Reply::Registers(words.to_vec())).ok_or(missing)
            }
            Request::WriteMany { start, values } => {
                self.registers.replace(*start, values).ok_or(missing)?;
                self.writes.push((*start, values.clone()));
                Ok(Reply::Written)
            }
            Request::WriteOne { address, value } => {
                self.registers.replace(*address, &[*value]).ok_or(missing)?;
                self.writes.push((*address, vec![*value]));
                Ok(Reply::Written)
            }
            other => panic!("a master does not send {other:?}"),
        }
    }

    /// What a scan finds.
    pub fn map(&self) -> ModelMap {
        let mut scan = Scan::default();
        loop {
            let bytes = self.registers.read(scan.next_span()).map(wire);
            let words = bytes.as_deref().map(|bytes| RegisterBytes::new(bytes).unwrap());
            match scan.advance(words.ok_or(Failure::Refused(Exception::IllegalAddress))) {
                Progress::More => {}
                Progress::Found(map) => return map,
                other => panic!("{other:?}"),
            }
        }
    }
}
