//! Why lines are not connected, for people: told when it changes, not at every attempt.
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;

/// The newest of every line, by how it is reached.
#[derive(Debug, Default)]
pub struct LineTroubles {
    lines: Mutex<BTreeMap<String, Trouble>>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// `None`: it is connected.
    why: Option<String>,
    is_told: bool,
}

impl LineTroubles {
    /// A line cannot be connected.
    pub fn note(&self, line: String, why: String) {
        let mut lines = lock(&self.lines);
        let trouble = lines.entry(line).or_default();
        if trouble.why.as_ref() != Some(&why) {
            *trouble = Trouble { why: Some(why), is_told: false };
        }
    }

    /// A line is connected.
    pub fn clear(&self, line: &str) {
        if let Some(trouble) = lock(&self.lines).get_mut(line).filter(|trouble| trouble.why.is_some()) {
            *trouble = Trouble::default();
        }
    }

    /// What has changed since the last call: the line, and why it is not connected; `None`: now it is.
    pub fn take(&self) -> Vec<(String, Option<String>)> {
        let mut lines = lock(&self.lines);
        let news = |(line, trouble): (&String, &mut Trouble)| {
            let is_new = !std::mem::replace(&mut trouble.is_told, true);
            is_new.then(|| (line.clone(), trouble.why.clone()))
        };
        lines.iter_mut().filter_map(news).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_changes_or_ends() {
        let (troubles, line) = (LineTroubles::default(), || "/dev/ttyUSB0".to_owned());
        troubles.clear("/dev/ttyUSB0");
        assert_eq!(troubles.take(), [], "no trouble before");
        for why in ["gone", "gone", "no rights"] {
            troubles.note(line(), why.to_owned());
        }
        assert_eq!(troubles.take(), [(line(), Some("no rights".to_owned()))]);
        troubles.note(line(), "no rights".to_owned());
        assert_eq!(troubles.take(), []);
        troubles.clear("/dev/ttyUSB0");
        assert_eq!(troubles.take(), [(line(), None)]);
    }
}
