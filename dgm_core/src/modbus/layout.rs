//! Where the points of a SunSpec model stand on a device, and what all of them say.
//!
//! ```text
//! ModelDef + announced length ── locate(name) ──> Slot            (what a device is read by, all its life)
//!                             ── next_run     ──> reads of at most 125 registers that end where points end
//!            + its registers  ── decode       ──> every point of every group
//! ```
//!
//! The announced length is believed and bounded: what the definition does not know behind it is left alone, and points
//! beyond it are absent. Groups repeat as a point of the model says, or to the end.
use super::number::{Gain, Raw, Scale};
use super::pdu::{RegisterBytes, Span, Table};
use super::point::{Absent, Block, Kind, ScaleAt, Slot};
use super::sunspec::Model;
use super::tables::{Count, Factor, GroupDef, PointDef, PointType, HEADER};

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, not scaled.
    Number(Raw),
    /// Text or an address.
    Text(String),
}

/// One point as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// What it says; `None`: not implemented.
    pub value: Option<Value>,
    /// What a number is multiplied by; `None`: it should have a scale factor and that is not implemented.
    pub scale: Option<Scale>,
}

/// A group as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Points in order, without filler.
    pub items: Vec<Item>,
    /// Groups in order.
    pub groups: Vec<(&'static str, Groups)>,
}

/// The groups of one name.
#[derive(Clone, Debug, PartialEq)]
pub enum Groups {
    /// One, by its definition.
    Once(Box<Decoded>),
    /// Any number, in order.
    List(Vec<Decoded>),
}

/// The description of a point of the model itself; `None` if it has none of that name, or the device announces too few
/// registers for it or its scale factor. The scale factor then comes from the same registers.
pub fn locate(definition: &GroupDef, model: &Model, name: &str) -> Option<Slot> {
    let (point, offset) = own_point(definition, HEADER, name)?;
    let slot = slot(definition, definition, HEADER, point, offset, model.address)?;
    let span = slot.span();
    let last = span.start.checked_add(span.count)?.checked_sub(1)?.checked_sub(model.address)?;
    model.span(0, last).map(|_| slot)
}

/// A number anywhere in a model, by its path ("PFWInj.PF", "Crv[1].Pt[0].V", from 0 on), as far as `words` (from its
/// header on) say where it stands; `None` if there is none, or it lies beyond what the device announces.
pub fn locate_path(definition: &GroupDef, model: &Model, words: RegisterBytes<'_>, path: &str) -> Option<Slot> {
    let end = model.length.saturating_add(HEADER);
    let reader = Reader { top: definition, words, end };
    let (mut group, mut start) = (definition, HEADER);
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_none() {
            let (point, at) = own_point(group, start, step)?;
            let within = at.checked_add(point.size)? <= end;
            return within.then(|| slot(definition, group, start, point, at, model.address))?;
        }
        (group, start) = reader.child(group, start, step)?;
    }
    None
}

/// The next read of a whole model when `words` (from its header on) are known: as long as it can be, ending where a point
/// ends, and no longer than `registers_max`. `None`: all is known, or one point does not fit.
pub fn next_run(definition: &GroupDef, model: &Model, words: RegisterBytes<'_>, registers_max: u16) -> Option<Span> {
    let end = model.length.saturating_add(HEADER);
    let known = u16::try_from(words.len()).ok()?;
    let latest = known.saturating_add(registers_max).min(end);
    let mut ends = vec![HEADER];
    Reader { top: definition, words, end }.ends(definition, HEADER, &mut ends);
    let fits = |point_end: &u16| *point_end > known && *point_end <= latest;
    // Behind what the definition knows, or behind a count not read yet, there is nothing to go by.
    let reach = ends.iter().copied().rev().find(fits)?;
    model.span(known, reach - 1)
}

/// Every point of the model; `words` from its header on, as many as the device announced or fewer.
pub fn decode(definition: &GroupDef, words: RegisterBytes<'_>) -> Decoded {
    let announced = words.get(1).map_or(0, |length| length.saturating_add(HEADER));
    let end = announced.min(u16::try_from(words.len()).unwrap_or(u16::MAX));
    let words = words.slice(0, usize::from(end)).unwrap_or(words);
    let reader = Reader { top: definition, words, end };
    reader.group(definition, HEADER).0
}

/// The registers of one model.
struct Reader<'a> {
    top: &'a GroupDef,
    words: RegisterBytes<'a>,
    /// Registers of the model, header included.
    end: u16,
}

impl Reader<'_> {
    fn block(&self) -> Block<'_> {
        Block::new(Table::Holding, 0, self.words)
    }

    fn group(&self, group: &GroupDef, start: u16) -> (Decoded, u16) {
        let (mut decoded, mut at) = (Decoded::default(), start);
        for point in &group.points {
            if point.kind != PointType::Pad {
                decoded.items.push(self.item(group, start, point, at));
            }
            at = at.saturating_add(point.size);
        }
        for child in &group.groups {
            let found = if child.count == Count::Once {
                let (one, end) = self.group(child, at);
                at = end;
                Groups::Once(Box::new(one))
            } else {
                let mut all = Vec::new();
                for _ in 0..self.count(child, at).unwrap_or_default() {
                    let (one, end) = self.group(child, at);
                    if end <= at || at >= self.end {
                        break;
                    }
                    at = end;
                    all.push(one);
                }
                Groups::List(all)
            };
            decoded.groups.push((child.name, found));
        }
        (decoded, at)
    }

    fn item(&self, group: &GroupDef, start: u16, point: &PointDef, at: u16) -> Item {
        let name = point.name;
        let Some(slot) = slot(self.top, group, start, point, at, 0) else {
            let value = self.text(point, at).map(Value::Text);
            return Item { name, value, scale: Some(Scale::ONE) };
        };
        let value = slot.raw(&self.block()).map(Value::Number);
        Item { name, value, scale: slot.scale(&self.block()) }
    }

    fn text(&self, point: &PointDef, at: u16) -> Option<String> {
        let words = self.block().words(Table::Holding, at, point.size)?;
        let bytes = words.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let joined = |parts: Vec<String>| Some(parts.join(":"));
        match point.kind {
            PointType::Ipv6 => joined(bytes.chunks(4).map(hex).collect()),
            PointType::Eui48 if bytes[2..].iter().all(|byte| *byte == 0xff) => None,
            PointType::Eui48 => joined(bytes[2..].chunks(1).map(hex).collect()),
            _ if bytes.first() == Some(&0) => None,
            _ => Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()),
        }
    }

    /// How often a group stands at `at`; `None` while the point that says so is not read.
    fn count(&self, group: &GroupDef, at: u16) -> Option<u16> {
        match group.count {
            Count::Once => Some(1),
            Count::ToEnd => Some(self.end.saturating_sub(at).checked_div(group.size()).unwrap_or_default()),
            Count::Point(name) => {
                let (_, offset) = own_point(self.top, HEADER, name)?;
                let word = self.block().words(Table::Holding, offset, 1)?.get(0)?;
                Some(if word == u16::MAX { 0 } else { word })
            }
        }
    }

    /// The group of a step like "PFWInj" or "Crv[1]" below one that starts at `start`, and where it starts.
    fn child<'g>(&self, group: &'g GroupDef, start: u16, step: &str) -> Option<(&'g GroupDef, u16)> {
        let (name, index) = match step.strip_suffix(']') {
            Some(inner) => inner.split_once('[').and_then(|(name, index)| Some((name, index.parse().ok()?)))?,
            None => (step, 0u16),
        };
        let mut at = start.checked_add(group.size())?;
        for child in &group.groups {
            let count = self.count(child, at)?;
            for position in 0..count {
                if child.name == name && position == index {
                    return Some((child, at));
                }
                at = self.ends(child, at, &mut Vec::new()).filter(|end| *end > at)?;
            }
        }
        None
    }

    /// Appends where the points end, as far as the counts are known and the model reaches; where the group ends.
    fn ends(&self, group: &GroupDef, start: u16, ends: &mut Vec<u16>) -> Option<u16> {
        let mut at = start;
        for point in &group.points {
            at = at.checked_add(point.size).filter(|at| *at <= self.end)?;
            ends.push(at);
        }
        for child in &group.groups {
            for _ in 0..self.count(child, at)? {
                let end = self.ends(child, at, ends)?;
                if end <= at {
                    break;
                }
                at = end;
            }
        }
        Some(at)
    }
}

/// A point of a group that starts at `start`, and its offset.
fn own_point<'g>(group: &'g GroupDef, start: u16, name: &str) -> Option<(&'g PointDef, u16)> {
    let mut at = start;
    for point in &group.points {
        if point.name == name {
            return Some((point, at));
        }
        at = at.checked_add(point.size)?;
    }
    None
}

/// A numeric point of `group`, which starts at `start`, as a slot; all offsets are moved by `base`.
fn slot(top: &GroupDef, group: &GroupDef, start: u16, point: &PointDef, at: u16, base: u16) -> Option<Slot> {
    let (kind, absent) = numeric(point)?;
    let scale = match point.factor {
        Factor::One => ScaleAt::Fixed(Scale::ONE),
        Factor::Fixed(exponent) => ScaleAt::Fixed(Scale::new(i64::from(exponent))?),
        Factor::Point(name) => {
            let (_, offset) = own_point(group, start, name).or_else(|| own_point(top, HEADER, name))?;
            ScaleAt::Register(base.checked_add(offset)?)
        }
    };
    let (table, address) = (Table::Holding, base.checked_add(at)?);
    Some(Slot { table, address, kind, low_first: false, absent, scale, gain: Gain::ONE })
}

fn numeric(point: &PointDef) -> Option<(Kind, Absent)> {
    let lowest = |kind: Kind| Absent::One(kind.range().map_or(0, |(low, _)| low));
    let highest = |kind: Kind| Absent::One(kind.range().map_or(0, |(_, high)| high));
    let unsigned = || match point.size {
        1 => Some(Kind::U16),
        2 => Some(Kind::U32),
        4 => Some(Kind::U64),
        _ => None,
    };
    let signed = match point.size {
        1 => Kind::I16,
        2 => Kind::I32,
        _ => Kind::I64,
    };
    Some(match point.kind {
        PointType::Int | PointType::Scale => (signed, lowest(signed)),
        PointType::Uint => (unsigned()?, highest(unsigned()?)),
        PointType::Acc => (unsigned()?, Absent::One(0)),
        PointType::Ipv4 => (Kind::U32, Absent::One(0)),
        PointType::Float if point.size == 2 => (Kind::F32, Absent::Nothing),
        PointType::Float => (Kind::F64, Absent::Nothing),
        PointType::Text | PointType::Ipv6 | PointType::Eui48 | PointType::Pad => return None,
    })
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
