//! A decision to `core.v1.Decision` bytes.

use prost::Message;

use super::core::{AssetGrant, Decision as WireDecision, Row as WireRow};
use super::ems::Quantity as WireQuantity;
use crate::arbiter::{CountedReason, Decision, Grant, GrantValue, Quantity, Row};
use crate::units::count;

/// The bytes of a decision; assets to which nothing is granted are left out.
pub fn encode_decision(decision: &Decision) -> Vec<u8> {
    WireDecision {
        epoch: decision.epoch,
        sequence: decision.sequence,
        time_mono_ms: decision.time.get(),
        evse_cycle: decision.evse_cycle,
        rows: decision.rows.iter().map(row).collect(),
        grants: decision.grants.iter().filter(|grant| grant.value != GrantValue::Nothing).map(grant).collect(),
    }
    .encode_to_vec()
}

fn row(row: &Row) -> WireRow {
    WireRow {
        circuit_index: count(row.circuit.0),
        quantity: i32::from(quantity(row.quantity)),
        phase: row.phase.map_or(0, |phase| count(phase.slot()) + 1),
        bound: row.bound,
        limit_id: row.limit_id.to_string(),
        uncontrolled: row.uncontrolled,
        help: row.help,
        evse_counted: row.evse_counted,
        shortfall: row.shortfall,
        measured: row.measured,
        meter_lost: row.meter_lost,
    }
}

fn quantity(quantity: Quantity) -> WireQuantity {
    match quantity {
        Quantity::NetImport => WireQuantity::NetImport,
        Quantity::NetExport => WireQuantity::NetExport,
        Quantity::GrossLoad => WireQuantity::GrossLoad,
        Quantity::GrossGeneration => WireQuantity::GrossGeneration,
        Quantity::DerOutput => WireQuantity::DerOutput,
        Quantity::StorageCharge => WireQuantity::StorageCharge,
        Quantity::Current => WireQuantity::Current,
    }
}

/// Of PV and batteries only that nobody controls them.
fn counted_reason(grant: &Grant) -> &'static str {
    match (grant.value, grant.reason) {
        (GrantValue::Current(_), reason) | (GrantValue::Power(_), reason @ CountedReason::Nameplate) => reason.name(),
        (GrantValue::Nothing | GrantValue::Power(_), _) => "",
    }
}

fn grant(grant: &Grant) -> AssetGrant {
    let (power_w, current_ma) = match grant.value {
        GrantValue::Nothing => (None, None),
        GrantValue::Power(power) => (Some(power.get()), None),
        GrantValue::Current(current) => (None, Some(current.get())),
    };
    AssetGrant {
        asset_index: count(grant.asset.0),
        power_w,
        current_ma,
        counted_ma: grant.counted.get(),
        counted_reason: counted_reason(grant).to_owned(),
        binding_limit_id: grant.binding_limit.as_deref().unwrap_or_default().to_owned(),
        binding_row: grant.binding_row.map(count),
        published: grant.published,
        safety: grant.safety,
        sequence: grant.sequence,
    }
}
