//! Generated protobuf types and their conversion into the core's own. The only folder that names prost.
//!
//! ```text
//! bytes ─> DgmConfig ─> SiteParts ─> Site      bytes ─> LimitSet, PollerConfig      Decision ─> bytes
//! bytes ─> RegisterMap, DeviceTable: checked
//! bytes ─> AdmissionQuestion ─> AdmissionAnswer ─> bytes
//! ```

mod admission;
mod audit;
mod decision;
mod device;
mod device_use;
mod facade;
mod learnt;
mod limits;
mod link;
mod models;
mod poller;
mod registers;
mod served;
mod site;

#[allow(missing_docs, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

pub use admission::answer_admission;
pub use audit::encode_audit;
pub use decision::encode_decision;
pub use device::{check_device_table, decode_device_table};
pub use device_use::answer_device_use;
pub use facade::{decode_facade, FacadeSecurity};
pub use generated::dgm::api::{config::v1 as config, core::v1 as core, ems::v1 as ems, site::v1 as site_v1};
pub use learnt::{decode_learnt, encode_learnt};
pub use limits::decode_limits;
pub use models::{decode_amendment, encode_models};
pub use poller::{decode_poller, table_number};
pub use registers::decode_register_map;
pub use served::decode_served_map;
pub use site::decode_site;
