//! What was found out of devices, from and to `core.v1` bytes.

use std::collections::BTreeMap;

use prost::Message;

use super::core::{LearntBatch, LearntDevice, LearntNews};
use super::models::model as wire_model;
use crate::error::CoreError;
use crate::modbus::learnt::Learnt;
use crate::modbus::sunspec::Model;
use crate::units::{count, AssetIndex};

/// The bytes of news; empty where there are none.
pub fn encode_learnt(news: &BTreeMap<AssetIndex, Option<Learnt>>) -> Vec<u8> {
    let assets = news.iter().map(|(asset, learnt)| LearntNews {
        asset_index: count(asset.0),
        learnt: learnt.as_ref().map(|learnt| LearntDevice {
            base: learnt.base.into(),
            identity: learnt.identity.iter().flat_map(|word| word.to_be_bytes()).collect(),
            models: learnt.models.iter().map(wire_model).collect(),
            end_address: learnt.end.map(i64::from),
            answers_long_reads: learnt.is_long,
        }),
    });
    LearntBatch { assets: assets.collect() }.encode_to_vec()
}

/// One device; refused if no walk could have found it.
pub fn decode_learnt(bytes: &[u8]) -> Result<Learnt, CoreError> {
    let wire = LearntDevice::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "LearntDevice", reason: error.to_string() })?;
    let word = |field: &str, value: i64| {
        u16::try_from(value).map_err(|_| CoreError::site(format!("learnt.{field}"), value.to_string(), "0..65535"))
    };
    let model = |model: &super::ems::SunSpecModel| {
        Ok::<_, CoreError>(Model {
            id: word("models.id", model.id)?,
            address: word("models.address", model.address)?,
            length: word("models.length", model.length)?,
        })
    };
    let learnt = Learnt {
        base: word("base", wire.base)?,
        identity: wire.identity.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
        models: wire.models.iter().map(model).collect::<Result<_, _>>()?,
        end: wire.end_address.map(|end| word("end_address", end)).transpose()?,
        is_long: wire.answers_long_reads,
    };
    learnt.check().map(|()| learnt)
}
