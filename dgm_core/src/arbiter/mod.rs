//! The Arbiter: limits intersect, targets rank, one pure function decides.
//!
//! ```text
//! limits, targets, samples, outcomes, readings, link, now ──> decide ──> grants, rows with their reasons
//! ```
//! It reads no clock and no device: the caller passes `now` (monotonic) and what was measured. All memory (ramps, what is
//! granted but not proved, rotation, windows) is in it. What it does not do: renew leases, talk, plan.

mod account;
mod balance;
mod bound;
mod budget;
mod credit;
mod decision;
mod draw;
mod feed;
mod fill;
mod generation;
mod layout;
mod left;
mod limit;
mod load;
mod matrix;
mod phasor;
mod plan;
mod problem;
mod publish;
pub mod reactive;
mod sample;
mod scene;
mod seat;
mod sharing;
mod shown;
mod storage;
mod tick;
mod trace;
mod transformer;
mod witness;
mod worst;

use std::sync::Arc;

pub use decision::{CountedReason, Decision, Grant, GrantValue, Row};
pub use limit::{ActiveLimit, LimitSet, Quantity, Ramp, Scope};
pub use problem::{Problem, SharedProblem, CLAIM_WIDTH};
pub use sample::{EvseSample, Outcome, OutcomeState, Target};

use account::Account;
use balance::Balances;
use bound::Bounds;
use draw::Draw;
use feed::Feed;
use layout::Layout;
use limit::Limits;
use seat::{Seat, Want};
use sharing::Sharing;

use crate::error::CoreError;
use crate::site::{AssetKind, Image, Quality, Reading, Site, QUANTITY_MAX, SPAN_MS_MAX};
use crate::units::{count, AssetIndex, Milliamps, Millis, Millivolts, Watts};

/// The decision function with its state.
#[derive(Clone)]
pub struct Arbiter {
    site: Arc<Site>,
    layout: Layout,
    feed: Feed,
    limits: Limits,
    bounds: Bounds,
    balances: Balances,
    wants: Vec<Want>,
    columns: Vec<ColumnState>,
    sharing: Sharing,
    pv_caps: Vec<Watts>,
    is_link_up: bool,
    /// A new set of limits waits for its first decision.
    is_dirty: bool,
    last_tick: Option<Millis>,
    last_cycle: Option<Millis>,
    decision: Decision,
}

/// Everything that is remembered of one EVSE.
#[derive(Clone, Debug, Default)]
struct ColumnState {
    account: Account,
    seat: Seat,
    draw: Draw,
    /// Row and limit that keep it from what it wants.
    binding: Binding,
}

/// Index of a row, and the limit's id.
type Binding = (Option<usize>, Option<Arc<str>>);

impl Arbiter {
    /// Nothing is proved, nothing is granted, every lease is still to come.
    pub fn new(site: Arc<Site>, epoch: i64) -> Self {
        let layout = Layout::new(&site);
        let grants = (0..site.assets().len()).map(|index| Grant::none(AssetIndex(index))).collect();
        Self {
            feed: Feed::new(&site, &layout),
            limits: Limits::default(),
            bounds: Bounds::new(&site, &layout),
            balances: Balances::new(&site),
            wants: vec![Want::default(); site.assets().len()],
            columns: vec![ColumnState::default(); layout.columns.len()],
            sharing: Sharing::default(),
            pv_caps: layout.pvs.iter().map(|unit| unit.pv.power_max).collect(),
            is_link_up: true,
            is_dirty: false,
            last_tick: None,
            last_cycle: None,
            decision: Decision { epoch, grants, ..Decision::default() },
            layout,
            site,
        }
    }

    /// Replaces the active limits; an older epoch or sequence, or one limit that is not valid, and nothing changes.
    pub fn put_limits(&mut self, set: LimitSet, now: Millis) -> Result<(), CoreError> {
        let since = now - self.site.timing().sample_max_age;
        let (layout, image) = (&self.layout, &self.feed.image);
        let shown = |limit: &ActiveLimit| tick::shown(layout, image, &self.balances, &self.columns, limit, since);
        self.limits.put(&self.site, set, now, shown)?;
        self.is_dirty = true;
        Ok(())
    }

    /// Wants, each a lease of `ttl`; assets without a row keep theirs.
    pub fn put_targets(&mut self, rows: &[Target], ttl: Millis, now: Millis) -> Result<(), CoreError> {
        if !(0..=SPAN_MS_MAX).contains(&ttl.get()) {
            return Err(CoreError::value("targets: ttl_ms", ttl.get(), format!("0..={SPAN_MS_MAX}")));
        }
        let assets = self.wants.len();
        if let Some(unknown) = rows.iter().find(|row| row.asset.0 >= assets) {
            return Err(unknown_asset("an asset of the configuration", unknown.asset));
        }
        for row in rows {
            self.wants[row.asset.0] = Want {
                value: row.want,
                weight: row.weight,
                stratum: row.stratum,
                keeps_on: row.keeps_on,
                until: now + ttl,
            };
        }
        Ok(())
    }

    /// What EVSEs reported. One older than the one held changes nothing.
    pub fn put_samples(&mut self, rows: &[EvseSample], now: Millis) -> Result<(), CoreError> {
        let columns = rows.iter().map(|row| self.column(row.asset)).collect::<Result<Vec<_>, _>>()?;
        let voltage = self.feed.scene(&self.site, &self.layout, now).voltage;
        for (row, column) in rows.iter().zip(columns) {
            let at = now - row.age.max(Millis::ZERO);
            let held = self.feed.image.reading(row.asset);
            if held.quality == Quality::Never || held.measured_at <= at {
                self.feed.image.put(row.asset, sample::reading(row, held, at));
                self.take_sample(row, column, at, voltage, now);
            }
        }
        Ok(())
    }

    fn take_sample(&mut self, row: &EvseSample, column: usize, at: Millis, voltage: Millivolts, now: Millis) {
        let (state, fixed) = (&mut self.columns[column], &self.layout.columns[column]);
        state.account.measure(row, fixed, voltage, now);
        let (counted, _) = state.account.counted(fixed, self.is_link_up);
        if sample::tells_draw(row) {
            state.draw = Draw::new(row, at, fixed, counted, voltage);
            state.seat.see(at, self.site.timing());
        }
    }

    /// What EVSEs did with their setpoints.
    pub fn put_outcomes(&mut self, rows: &[Outcome], now: Millis) -> Result<(), CoreError> {
        let columns = rows.iter().map(|row| self.column(row.asset)).collect::<Result<Vec<_>, _>>()?;
        let is_current =
            |current: &Option<Milliamps>| current.is_none_or(|value| (0..=QUANTITY_MAX).contains(&value.get()));
        if let Some(wrong) = rows.iter().find(|row| !is_current(&row.value) || !is_current(&row.fallback)) {
            let found = wrong.value.filter(|_| !is_current(&wrong.value)).or(wrong.fallback);
            return Err(CoreError::value(
                "outcomes: value_ma",
                found.map_or(0, Milliamps::get),
                format!("0..={QUANTITY_MAX}"),
            ));
        }
        for (row, column) in rows.iter().zip(columns) {
            let state = &mut self.columns[column];
            state.account.settle(row, state.seat.sequence, now);
        }
        Ok(())
    }

    fn column(&self, asset: AssetIndex) -> Result<usize, CoreError> {
        let column = self.layout.column_of.get(asset.0).copied().flatten();
        column.ok_or_else(|| unknown_asset("an EVSE of the configuration", asset))
    }

    /// Reading of a meter, PV, battery or load; one of an EVSE is ignored.
    pub fn put_reading(&mut self, asset: AssetIndex, reading: Reading) {
        self.feed.put(&self.site, asset, reading);
    }

    /// Whether the ocpp role is heard; down counts every EVSE as unreachable. Up until told otherwise: what was never
    /// heard is not proved and counts at nameplate anyway.
    pub fn put_link(&mut self, up: bool, _now: Millis) {
        self.is_link_up = up;
    }

    /// Whether a PV unit or battery does what it is told: its setpoint and its revert are proved, and nobody else commands
    /// it. Controlled until told otherwise. From the next tick on an uncontrolled battery helps nobody and counts at its
    /// rating in both directions, an uncontrolled PV unit counts at its rating wherever PV is bounded; their setpoints go on
    /// being decided, the battery's as 0.
    pub fn put_control(&mut self, asset: AssetIndex, controlled: bool, _now: Millis) -> Result<(), CoreError> {
        let found = self.site.asset(asset).map(|found| &found.spec.kind);
        if !matches!(found, Some(AssetKind::Pv(_) | AssetKind::Battery(_))) {
            return Err(unknown_asset("a PV unit or battery of the configuration", asset));
        }
        self.feed.control(&self.layout, asset, controlled);
        Ok(())
    }

    /// Whether a PV unit or battery counts as doing what it is told.
    pub fn is_controlled(&self, asset: AssetIndex) -> bool {
        self.feed.is_controlled(asset)
    }

    /// Every asset, in the configuration's order.
    pub fn grants(&self) -> &[Grant] {
        &self.decision.grants
    }

    /// The newest decision.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What was last seen.
    pub fn image(&self) -> &Image {
        &self.feed.image
    }

    /// The site it decides for.
    pub fn site(&self) -> &Site {
        &self.site
    }
}

fn unknown_asset(expected: &str, asset: AssetIndex) -> CoreError {
    CoreError::Index { what: "asset", found: count(asset.0), expected: expected.to_owned() }
}

#[cfg(test)]
#[path = "test/mod.rs"]
mod tests;
