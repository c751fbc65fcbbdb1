//! Where one EVSE stands in the sharing: what it was granted, since when it is on or waits, what it wants.

use std::sync::Arc;

use super::bound::Tightest;
use super::layout::Column;
use crate::site::{PlugState, Reading, Timing, WEIGHT_MAX};
use crate::units::{Milliamps, Millis};

/// A want with its lease. The default wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want {
    /// W or mA; absent: nobody said.
    pub value: Option<i64>,
    /// EVSE share weight; absent: as configured.
    pub weight: Option<i64>,
    /// EVSE stratum; absent: as configured.
    pub stratum: Option<i64>,
    /// Others of its stratum are paused before it where there is not enough for all minimums.
    pub keeps_on: bool,
    /// From then on nobody said anything.
    pub until: Millis,
}

impl Want {
    /// The wanted value while the lease runs.
    pub fn at(&self, now: Millis) -> Option<i64> {
        self.value.filter(|_| now < self.until)
    }
}

/// What was granted to one EVSE.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    /// mA per phase, newest published; 0 or min..=max on its step.
    pub granted: i64,
    /// Of the grant set in which it was published; 0: never.
    pub sequence: i64,
    /// The newest publication is a reduction that a limit or an overrun caused.
    pub is_safety: bool,
    /// Since when it has a grant.
    pub on_since: Option<Millis>,
    /// Since when it wants and gets nothing.
    pub waiting_since: Option<Millis>,
    /// Last raise, or stop against its will.
    pub moved_at: Option<Millis>,
    /// mA per phase by which it was raised and which no sample can have shown yet.
    pub unseen: i64,
}

impl Seat {
    /// Keeps the waiting clock: it runs while something is wanted and nothing granted.
    pub fn watch(&mut self, wants: bool, now: Millis) {
        match (self.granted > 0, wants) {
            (true, _) => self.waiting_since = None,
            (false, true) => self.waiting_since = self.waiting_since.or(Some(now)),
            (false, false) => {
                self.waiting_since = None;
                self.moved_at = None;
            }
        }
    }

    /// Whether a raise would come too soon after the last one. A first start never does.
    pub fn is_paced(&self, timing: &Timing, now: Millis) -> bool {
        self.moved_at.is_some_and(|moved| now - moved < timing.evse_up_interval)
    }

    /// A sample measured at `at` shows what was granted as long before as two raises are apart.
    pub fn see(&mut self, at: Millis, timing: &Timing) {
        if self.moved_at.is_none_or(|moved| at - moved >= timing.evse_up_interval) {
            self.unseen = 0;
        }
    }

    /// A raise that is still unseen when samples age out is in the meter's uncontrolled load by now.
    pub fn forget(&mut self, timing: &Timing, now: Millis) {
        if self.moved_at.is_none_or(|moved| now - moved >= timing.sample_max_age) {
            self.unseen = 0;
        }
    }

    /// A new value is published.
    pub fn publish(&mut self, value: i64, sequence: i64, wants: bool, now: Millis) {
        let (is_raise, is_stop) = (value > self.granted, value == 0 && self.granted > 0);
        if is_raise && self.granted == 0 {
            self.on_since = Some(now);
        }
        if is_stop {
            self.on_since = None;
        }
        if is_raise || (is_stop && wants) {
            self.moved_at = Some(now);
        }
        self.unseen = (self.unseen + (value - self.granted).max(0)).min(value);
        self.granted = value;
        self.sequence = sequence;
        self.watch(wants, now);
    }
}

/// What one EVSE asks for in this tick.
#[derive(Clone, Debug)]
pub struct Ask {
    /// mA on its step; 0: nothing.
    pub cap: i64,
    /// The limit on this EVSE alone that made `cap` less than the want.
    pub limit: Option<Arc<str>>,
    /// Share weight.
    pub weight: i64,
    /// Served before higher numbers.
    pub stratum: i64,
    /// Takes no turns: it gets its minimum before others of its stratum.
    pub keeps_on: bool,
}

impl Ask {
    /// Without a valid want an EVSE that is charging holds what it has, and no more.
    pub fn new(
        column: &Column,
        want: &Want,
        seat: &Seat,
        reading: &Reading,
        limit: &Tightest,
        at: (Millis, Millis),
    ) -> Self {
        let (now, max_age) = at;
        let is_charging = reading.plug == PlugState::Charging && reading.is_fresh(now, max_age);
        let held = if is_charging { seat.granted } else { 0 };
        let wanted = want.at(now).unwrap_or(held).min(column.evse.current_max.get());
        let (cap, limit) = match limit {
            Some((bound, id)) if *bound < wanted => (*bound, Some(id.clone())),
            _ => (wanted, None),
        };
        Self {
            cap: on_step(column, cap),
            limit,
            weight: want.weight.unwrap_or(column.evse.weight).clamp(1, WEIGHT_MAX),
            stratum: want.stratum.unwrap_or(column.evse.stratum).max(0),
            keeps_on: want.keeps_on,
        }
    }
}

/// The largest permitted grant not above `value`: on the step, and 0 below the minimum.
pub fn on_step(column: &Column, value: i64) -> i64 {
    let stepped = value - value.rem_euclid(column.evse.current_step.get());
    if Milliamps::new(stepped) < column.evse.current_min {
        return 0;
    }
    stepped
}
