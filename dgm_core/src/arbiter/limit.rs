//! Limits in force and what they bound at a given time.
//!
//! A limit is a lease: while it runs its bound holds (on a ramp: a straight line in time); at its end it is gone (END, by
//! rule) or its failsafe takes over (LOST, by silence). Where no failsafe was given the bound stays. It never ends in
//! "unlimited" by silence.

use std::sync::Arc;

use crate::error::CoreError;
use crate::site::{AssetKind, Site, QUANTITY_MAX, SPAN_MS_MAX};
use crate::units::{count, AssetIndex, CircuitIndex, Millis};

/// What a limit bounds; minima are taken only within one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// W into a metered circuit.
    NetImport,
    /// W out of a metered circuit.
    NetExport,
    /// W, EVSE plus battery charge below a circuit.
    GrossLoad,
    /// W, PV plus battery discharge below a circuit.
    GrossGeneration,
    /// W, PV plus battery discharge less battery charge below a circuit.
    DerOutput,
    /// W, battery charge below a circuit.
    StorageCharge,
    /// mA per phase.
    Current,
}

impl Quantity {
    /// As written in site.yaml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetImport => "NET_IMPORT",
            Self::NetExport => "NET_EXPORT",
            Self::GrossLoad => "GROSS_LOAD",
            Self::GrossGeneration => "GROSS_GENERATION",
            Self::DerOutput => "DER_OUTPUT",
            Self::StorageCharge => "STORAGE_CHARGE",
            Self::Current => "CURRENT",
        }
    }
}

/// What a limit is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A circuit.
    Circuit(CircuitIndex),
    /// One EVSE (CURRENT only).
    Asset(AssetIndex),
}

/// How a bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Whole length.
    pub duration: Millis,
    /// How much of it had passed on receipt.
    pub elapsed: Millis,
    /// W or mA at its start; absent: the value measured at first sight.
    pub from: Option<i64>,
}

/// One limit in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveLimit {
    /// Unique id.
    pub id: Arc<str>,
    /// What it is put on.
    pub scope: Scope,
    /// What it bounds.
    pub quantity: Quantity,
    /// W or mA, >= 0.
    pub bound: i64,
    /// Remaining lease on receipt; absent: until replaced.
    pub ttl: Option<Millis>,
    /// Takes over when the lease ends by silence; absent: `bound` stays.
    pub failsafe: Option<i64>,
    /// The end of the lease is its END by rule: then the limit is gone.
    pub ends_by_rule: bool,
    /// Absent: at once.
    pub ramp: Option<Ramp>,
}

/// The whole set of active limits; it replaces the one before at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSet {
    /// Of the sending process.
    pub epoch: i64,
    /// Grows within an epoch.
    pub sequence: i64,
    /// In any order.
    pub limits: Vec<ActiveLimit>,
}

impl LimitSet {
    /// Whether every limit is in range and points at something of the site.
    pub fn check(&self, site: &Site) -> Result<(), CoreError> {
        self.limits.iter().try_for_each(|limit| check(site, limit))
    }
}

/// A limit with when it was received and where its ramp starts.
#[derive(Clone, Debug)]
struct Held {
    limit: ActiveLimit,
    received: Millis,
    ramp_from: Option<i64>,
}

/// The active limits with their leases and ramps.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    version: Option<(i64, i64)>,
    held: Vec<Held>,
}

impl Limits {
    /// Replaces the set. `measure` says what a limit's quantity is now: where a ramp starts whose start was not given.
    pub fn put(
        &mut self,
        site: &Site,
        set: LimitSet,
        now: Millis,
        measure: impl Fn(&ActiveLimit) -> Option<i64>,
    ) -> Result<(), CoreError> {
        self.refuse_older(&set)?;
        set.check(site)?;
        let held = set.limits.into_iter().map(|limit| {
            let ramp_from = self.ramp_from(&limit, &measure);
            Held { limit, received: now, ramp_from }
        });
        self.held = held.collect();
        self.version = Some((set.epoch, set.sequence));
        Ok(())
    }

    /// Scope, quantity, bound and id of every limit in force at `now`.
    pub fn bounds(&self, now: Millis) -> impl Iterator<Item = (Scope, Quantity, i64, &Arc<str>)> {
        self.held.iter().filter_map(move |held| {
            held.bound_at(now).map(|bound| (held.limit.scope, held.limit.quantity, bound, &held.limit.id))
        })
    }

    /// Whether a lease came to its end after `since`, up to `now`.
    pub fn has_turned(&self, since: Millis, now: Millis) -> bool {
        self.held.iter().filter_map(Held::end).any(|end| since < end && end <= now)
    }

    fn refuse_older(&self, set: &LimitSet) -> Result<(), CoreError> {
        let Some((epoch, sequence)) = self.version else { return Ok(()) };
        if set.epoch < epoch {
            return Err(CoreError::Old { what: "LimitSet.epoch", found: set.epoch, held: epoch });
        }
        if set.epoch == epoch && set.sequence < sequence {
            return Err(CoreError::Old { what: "LimitSet.sequence", found: set.sequence, held: sequence });
        }
        Ok(())
    }

    /// A ramp that is sent again starts where it started at first sight; one that only relaxes starts at its bound.
    fn ramp_from(&self, limit: &ActiveLimit, measure: impl Fn(&ActiveLimit) -> Option<i64>) -> Option<i64> {
        let ramp = limit.ramp?;
        let seen = self.held.iter().find(|held| held.is_same_ramp(limit));
        ramp.from
            .or_else(|| seen.and_then(|held| held.ramp_from))
            .or_else(|| measure(limit).map(|measured| measured.max(limit.bound)))
    }
}

impl Held {
    fn end(&self) -> Option<Millis> {
        self.limit.ttl.map(|ttl| self.received + ttl)
    }

    fn is_same_ramp(&self, other: &ActiveLimit) -> bool {
        let same = self.limit.id == other.id && self.limit.bound == other.bound;
        same && self.limit.ramp.map(|ramp| ramp.duration) == other.ramp.map(|ramp| ramp.duration)
    }

    fn bound_at(&self, now: Millis) -> Option<i64> {
        let is_over = self.end().is_some_and(|end| now >= end);
        match (is_over, self.limit.ends_by_rule, self.limit.failsafe) {
            (true, true, _) => None,
            (true, false, Some(failsafe)) => Some(failsafe),
            _ => Some(self.ramped_at(now)),
        }
    }

    /// On the straight line from the start value to the bound, rounded down. Without a start value there is no ramp.
    fn ramped_at(&self, now: Millis) -> i64 {
        let (Some(ramp), Some(from)) = (self.limit.ramp, self.ramp_from) else { return self.limit.bound };
        let passed = ramp.elapsed + (now - self.received);
        if passed >= ramp.duration {
            return self.limit.bound;
        }
        let way = i128::from(self.limit.bound) - i128::from(from);
        let done = (way * i128::from(passed.get().max(0))).div_euclid(i128::from(ramp.duration.get()));
        i64::try_from(i128::from(from) + done).unwrap_or(self.limit.bound)
    }
}

fn check(site: &Site, limit: &ActiveLimit) -> Result<(), CoreError> {
    check_scope(site, limit)?;
    let ramp = limit.ramp.unwrap_or(Ramp { duration: Millis::ZERO, elapsed: Millis::ZERO, from: None });
    let numbers = [
        ("bound", limit.bound, QUANTITY_MAX),
        ("failsafe_bound", limit.failsafe.unwrap_or(0), QUANTITY_MAX),
        ("ramp_from", ramp.from.unwrap_or(0), QUANTITY_MAX),
        ("ttl_ms", limit.ttl.map_or(0, Millis::get), i64::MAX / 4),
        ("ramp_ms", ramp.duration.get(), SPAN_MS_MAX),
        ("ramp_elapsed_ms", ramp.elapsed.get(), i64::MAX / 4),
    ];
    for (field, found, most) in numbers {
        if !(0..=most).contains(&found) {
            return Err(CoreError::value(format!("limit {}: {field}", limit.id), found, format!("0..={most}")));
        }
    }
    Ok(())
}

fn check_scope(site: &Site, limit: &ActiveLimit) -> Result<(), CoreError> {
    let refused = |what, found: usize, expected: &str| {
        Err(CoreError::Index { what, found: count(found), expected: format!("limit {}: {expected}", limit.id) })
    };
    match limit.scope {
        Scope::Circuit(circuit) if circuit.0 < site.circuits().len() => Ok(()),
        Scope::Circuit(circuit) => refused("circuit", circuit.0, "a circuit of the configuration"),
        Scope::Asset(asset) => match site.asset(asset).map(|found| &found.spec.kind) {
            Some(AssetKind::Evse(_)) if limit.quantity == Quantity::Current => Ok(()),
            Some(AssetKind::Evse(_)) => refused("asset", asset.0, "CURRENT, the only quantity of one EVSE"),
            _ => refused("asset", asset.0, "an EVSE of the configuration"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ttl: Option<i64>, failsafe: Option<i64>, ends_by_rule: bool) -> Held {
        let limit = ActiveLimit {
            id: Arc::from("a"),
            scope: Scope::Circuit(CircuitIndex(0)),
            quantity: Quantity::NetImport,
            bound: 100,
            ttl: ttl.map(Millis::new),
            failsafe,
            ends_by_rule,
            ramp: None,
        };
        Held { limit, received: Millis::new(1_000), ramp_from: None }
    }

    #[test]
    fn a_lease_ends_by_rule_or_falls_to_its_failsafe_or_stays() {
        let at = |held: Held, now| held.bound_at(Millis::new(now));
        assert_eq!(at(held(Some(500), Some(7), true), 1_499), Some(100));
        assert_eq!(at(held(Some(500), Some(7), true), 1_500), None);
        assert_eq!(at(held(Some(500), Some(7), false), 1_500), Some(7));
        assert_eq!(at(held(Some(500), None, false), 99_999), Some(100));
        assert_eq!(at(held(None, Some(7), false), 99_999), Some(100));
    }

    #[test]
    fn a_ramp_is_a_straight_line_from_its_start_rounded_down() {
        let mut held = held(None, None, false);
        held.limit.ramp = Some(Ramp { duration: Millis::new(3_000), elapsed: Millis::new(1_000), from: None });
        held.ramp_from = Some(200);
        let at = |now| held.bound_at(Millis::new(now));
        assert_eq!(at(1_000), Some(166));
        assert_eq!(at(2_000), Some(133));
        assert_eq!(at(3_000), Some(100));
        assert_eq!(at(9_000), Some(100));
    }
}
