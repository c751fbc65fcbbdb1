//! `core.v1.LimitSet` bytes to the core's limits.

use std::sync::Arc;

use prost::Message;

use super::core::{ActiveLimit as WireLimit, LimitSet as WireSet};
use super::ems::Quantity as WireQuantity;
use crate::arbiter::{ActiveLimit, LimitSet, Quantity, Ramp, Scope};
use crate::error::CoreError;
use crate::units::{AssetIndex, CircuitIndex, Millis};

/// Decodes a set; what its indices point at is checked by the Arbiter.
pub fn decode_limits(bytes: &[u8]) -> Result<LimitSet, CoreError> {
    let set =
        WireSet::decode(bytes).map_err(|error| CoreError::Decode { message: "LimitSet", reason: error.to_string() })?;
    let limits = set.limits.iter().map(limit).collect::<Result<Vec<_>, _>>()?;
    Ok(LimitSet { epoch: set.epoch, sequence: set.sequence, limits })
}

fn limit(wire: &WireLimit) -> Result<ActiveLimit, CoreError> {
    let ramp =
        Ramp { duration: Millis::new(wire.ramp_ms), elapsed: Millis::new(wire.ramp_elapsed_ms), from: wire.ramp_from };
    Ok(ActiveLimit {
        id: Arc::from(wire.id.as_str()),
        scope: scope(wire)?,
        quantity: quantity(wire)?,
        bound: wire.bound,
        ttl: wire.ttl_ms.map(Millis::new),
        failsafe: wire.failsafe_bound,
        ends_by_rule: wire.ends_by_rule,
        ramp: (wire.ramp_ms != 0).then_some(ramp),
    })
}

fn scope(wire: &WireLimit) -> Result<Scope, CoreError> {
    match (wire.circuit_index, wire.asset_index) {
        (Some(circuit), None) => Ok(Scope::Circuit(CircuitIndex(position("circuit", circuit)?))),
        (None, Some(asset)) => Ok(Scope::Asset(AssetIndex(position("asset", asset)?))),
        _ => Err(CoreError::Decode {
            message: "LimitSet",
            reason: format!("limit {}: exactly one of circuit_index and asset_index is expected", wire.id),
        }),
    }
}

fn position(what: &'static str, found: i64) -> Result<usize, CoreError> {
    usize::try_from(found).map_err(|_| CoreError::Index { what, found, expected: "0 or more".to_owned() })
}

fn quantity(wire: &WireLimit) -> Result<Quantity, CoreError> {
    match WireQuantity::try_from(wire.quantity) {
        Ok(WireQuantity::NetImport) => Ok(Quantity::NetImport),
        Ok(WireQuantity::NetExport) => Ok(Quantity::NetExport),
        Ok(WireQuantity::GrossLoad) => Ok(Quantity::GrossLoad),
        Ok(WireQuantity::GrossGeneration) => Ok(Quantity::GrossGeneration),
        Ok(WireQuantity::DerOutput) => Ok(Quantity::DerOutput),
        Ok(WireQuantity::StorageCharge) => Ok(Quantity::StorageCharge),
        Ok(WireQuantity::Current) => Ok(Quantity::Current),
        Ok(WireQuantity::Unspecified) | Err(_) => Err(CoreError::value(
            format!("limit {}: quantity", wire.id),
            i64::from(wire.quantity),
            "one of ems.v1.Quantity",
        )),
    }
}
