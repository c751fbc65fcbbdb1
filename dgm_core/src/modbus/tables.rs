//! The layouts of the SunSpec models, embedded as one text (tables/sunspec.txt) and parsed where a model is met.
//!
//! ```text
//! "714 DERMeasureDC PrtAlrms:b32 NPrt:u16 ... Prt[NPrt]{ PrtTyp:e16 ... DCA:i16*DCA_SF ... }"  ──>  ModelDef
//! ```
//!
//! Nothing is kept: a device remembers the few points it is read by, not the model. The points ID and L of the header
//! are not in the text; offsets count from the header, so the first point stands at 2. What a point means is not known
//! here.

/// Registers of a model's header: its number and its length.
pub const HEADER: u16 = 2;

const TEXT: &str = include_str!("../../tables/sunspec.txt");

/// Type of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointType {
    /// int16, int32 or int64, by registers; the lowest value is absence.
    Int,
    /// uint, enum, bitfield and count, by registers; all ones is absence.
    Uint,
    /// acc16, acc32 or acc64, by registers; 0 is absence.
    Acc,
    /// float32 or float64, by registers; not-a-number is absence.
    Float,
    /// sunssf, a power of ten from -10 to 10.
    Scale,
    /// Text, zero-padded; nothing but zeros is absence.
    Text,
    /// IPv4 address; 0 is absence.
    Ipv4,
    /// IPv6 address; 0 is absence.
    Ipv6,
    /// EUI-48 in the last 6 of 8 bytes; all ones or 0 is absence.
    Eui48,
    /// Filler.
    Pad,
}

/// What a point's value is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Nothing.
    One,
    /// A constant power of ten.
    Fixed(i8),
    /// The power of ten in the point of this name, of its own group or of the model.
    Point(&'static str),
}

/// One point of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointDef {
    /// As the model definition names it.
    pub name: &'static str,
    /// Type.
    pub kind: PointType,
    /// Size in registers.
    pub size: u16,
    /// Scale factor.
    pub factor: Factor,
}

/// How often a group stands in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Once; not a list.
    Once,
    /// As often as fits until the end of the model.
    ToEnd,
    /// As often as the point of this name of the model says.
    Point(&'static str),
}

/// Points, then groups, in the order of their registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDef {
    /// As the model definition names it.
    pub name: &'static str,
    /// How often.
    pub count: Count,
    /// Points.
    pub points: Vec<PointDef>,
    /// Groups behind the points.
    pub groups: Vec<GroupDef>,
}

impl GroupDef {
    /// Registers of the group's own points.
    pub fn size(&self) -> u16 {
        self.points.iter().fold(0, |sum, point| sum.saturating_add(point.size))
    }
}

/// The layout of a model without its header; `None` for a number that has none.
pub fn find(id: u16) -> Option<GroupDef> {
    let line = TEXT.lines().find(|line| line.split_once(' ').is_some_and(|(number, _)| number.parse() == Ok(id)))?;
    let mut tokens = line.split(' ').skip(1);
    let name = tokens.next()?;
    group(name, Count::Once, &mut tokens)
}

/// Numbers of all models with a layout, in order.
pub fn numbers() -> impl Iterator<Item = u16> {
    TEXT.lines().filter_map(|line| line.split(' ').next()?.parse().ok())
}

/// Takes tokens up to the end of the group.
fn group(name: &'static str, count: Count, tokens: &mut impl Iterator<Item = &'static str>) -> Option<GroupDef> {
    let mut found = GroupDef { name, count, points: Vec::new(), groups: Vec::new() };
    while let Some(token) = tokens.next().filter(|token| *token != "}") {
        match token.strip_suffix('{') {
            Some(opened) => {
                let (name, count) = repeats(opened)?;
                found.groups.push(group(name, count, tokens)?);
            }
            None => found.points.push(point(token)?),
        }
    }
    Some(found)
}

fn repeats(opened: &'static str) -> Option<(&'static str, Count)> {
    match opened.strip_suffix(']') {
        None => Some((opened, Count::Once)),
        Some(opened) => match opened.split_once('[')? {
            (name, "") => Some((name, Count::ToEnd)),
            (name, point) => Some((name, Count::Point(point))),
        },
    }
}

fn point(token: &'static str) -> Option<PointDef> {
    let (name, rest) = token.split_once(':')?;
    let (code, factor) = match rest.split_once('*') {
        None => (rest, Factor::One),
        Some((code, factor)) => (code, factor.parse().map_or(Factor::Point(factor), Factor::Fixed)),
    };
    let digits = code.find(|letter: char| letter.is_ascii_digit()).unwrap_or(code.len());
    let (letters, number) = code.split_at(digits);
    let number: u16 = if number.is_empty() { 16 } else { number.parse().ok()? };
    let (kind, size) = match letters {
        "i" => (PointType::Int, number / 16),
        "u" | "e" | "b" | "n" => (PointType::Uint, number / 16),
        "a" => (PointType::Acc, number / 16),
        "f" => (PointType::Float, number / 16),
        "sf" => (PointType::Scale, 1),
        "s" => (PointType::Text, number),
        "pad" => (PointType::Pad, number),
        "ip" if number == 4 => (PointType::Ipv4, 2),
        "ip" => (PointType::Ipv6, 8),
        "eui" => (PointType::Eui48, 4),
        _ => return None,
    };
    Some(PointDef { name, kind, size, factor })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_line_of_the_text_is_a_model() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        let models: Vec<u16> = numbers().collect();
        assert_eq!(models.len(), lines);
        assert_eq!(models.len(), 112);
        for id in models {
            let model = find(id).unwrap_or_else(|| panic!("model {id}"));
            assert!(!model.points.is_empty() || !model.groups.is_empty(), "model {id}");
        }
        assert_eq!(find(65), None);
    }

    #[test]
    fn sizes_are_those_of_the_published_models() {
        // With the header: facts counted from the model files.
        for (id, registers) in [(1, 68), (103, 52), (113, 62), (120, 28), (124, 26), (203, 107), (213, 126), (701, 155)]
        {
            assert_eq!(find(id).unwrap().size() + HEADER, registers, "model {id}");
        }
    }

    #[test]
    fn groups_repeat_to_the_end_by_a_point_or_not_at_all() {
        let dc = find(714).unwrap();
        assert_eq!((dc.groups[0].name, dc.groups[0].count), ("Prt", Count::Point("NPrt")));
        assert_eq!(find(160).unwrap().groups[0].count, Count::ToEnd);
        let trip = find(707).unwrap();
        let must = &trip.groups[0].groups[0];
        assert_eq!((must.name, must.count, must.groups[0].count), ("MustTrip", Count::Once, Count::Point("NPt")));
        assert_eq!(find(704).unwrap().groups.len(), 4);
    }

    #[test]
    fn a_factor_is_a_point_or_a_constant() {
        let power = find(701).unwrap().points.into_iter().find(|point| point.name == "W").unwrap();
        assert_eq!((power.kind, power.size, power.factor), (PointType::Int, 1, Factor::Point("W_SF")));
        let fixed = numbers().filter_map(find).flat_map(|model| model.points).any(|p| p.factor == Factor::Fixed(-1));
        assert!(fixed);
    }
}
