//! What one tick decided, with its reasons.

use std::sync::Arc;

use super::limit::Quantity;
use crate::site::Phase;
use crate::units::{AssetIndex, CircuitIndex, Milliamps, Millis, Watts};

/// Why an EVSE counts at what it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedReason {
    /// The limit proved installed.
    Proved,
    /// A limit that was sent and is not yet proved.
    Pending,
    /// Nothing is proved: its rating.
    #[default]
    Nameplate,
    /// It draws more than it was granted.
    Measured,
    /// Its lease may have ended.
    Fallback,
}

impl CountedReason {
    /// As in `core.v1.AssetGrant.counted_reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Pending => "pending",
            Self::Nameplate => "nameplate",
            Self::Measured => "measured",
            Self::Fallback => "fallback",
        }
    }
}

/// The granted value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantValue {
    /// A meter or load: nothing to grant.
    #[default]
    Nothing,
    /// Battery: setpoint, positive charges. PV: allowed generation as a negative power.
    Power(Watts),
    /// EVSE: per phase.
    Current(Milliamps),
}

/// Setpoint of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub asset: AssetIndex,
    /// What.
    pub value: GrantValue,
    /// EVSE: what it counts at after this decision, mA per phase.
    pub counted: Milliamps,
    /// EVSE: why it counts at that. PV and battery: `Nameplate` while nobody controls it, else `Proved`.
    pub reason: CountedReason,
    /// Limit that bound it; absent: nothing did, the want was met.
    pub binding_limit: Option<Arc<str>>,
    /// Row whose residual stops it: index into `Decision::rows`.
    pub binding_row: Option<usize>,
    /// EVSE: sent on this tick.
    pub published: bool,
    /// A reduction that a limit or an overrun caused.
    pub safety: bool,
    /// Of the grant set it was published with; 0: never.
    pub sequence: i64,
}

impl Grant {
    /// No grant yet.
    pub const fn none(asset: AssetIndex) -> Self {
        Self {
            asset,
            value: GrantValue::Nothing,
            counted: Milliamps::ZERO,
            reason: CountedReason::Nameplate,
            binding_limit: None,
            binding_row: None,
            published: false,
            safety: false,
            sequence: 0,
        }
    }
}

/// One row of the constraint set after a decision; W or mA by its quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The circuit it belongs to.
    pub circuit: CircuitIndex,
    /// What it bounds.
    pub quantity: Quantity,
    /// CURRENT rows: the conductor.
    pub phase: Option<Phase>,
    /// After ramp and lease.
    pub bound: i64,
    /// The tightest limit.
    pub limit_id: Arc<str>,
    /// Load that nobody controls, signed.
    pub uncontrolled: i64,
    /// PV and battery credited.
    pub help: i64,
    /// What the EVSEs below count at, rounded up.
    pub evse_counted: i64,
    /// By how much no decision can meet the bound; 0: it can be met.
    pub shortfall: i64,
    /// At the row's meter, signed.
    pub measured: Option<i64>,
    /// The row is at worst case.
    pub meter_lost: bool,
}

/// Everything one tick decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Of the deciding process.
    pub epoch: i64,
    /// Of the newest published grant set.
    pub sequence: i64,
    /// When.
    pub time: Millis,
    /// EVSE grants were recomputed in this tick.
    pub evse_cycle: bool,
    /// Every row with a limit.
    pub rows: Vec<Row>,
    /// Every asset, in the configuration's order.
    pub grants: Vec<Grant>,
}
