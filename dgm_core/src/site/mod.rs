//! What stands on the site (`tree`) and what it was last seen doing (`image`).

mod check;
pub mod image;
pub mod tree;

pub use check::{within, QUANTITY_MAX, SPAN_MS_MAX, WEIGHT_MAX};
pub use image::{Image, PlugState, Quality, Reading};
pub use tree::{
    Asset, AssetKind, AssetSpec, Battery, Circuit, CircuitSpec, Evse, Modbus, Phase, PhaseMap, Pv, Revert, Site,
    SiteParts, Timing, Transformer,
};
