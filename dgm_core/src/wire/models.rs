//! Models that were read, to `core.v1.ModelBatch` bytes; what is to be changed in one, from `core.v1.ModelAmendment`.

use prost::Message;

use super::core::{AmendmentStep, ModelAmendment, ModelAnswer, ModelBatch, ModelFailure, PointValue};
use super::ems::{RegisterBlock, SunSpecModel};
use crate::error::CoreError;
use crate::modbus::actuator::Write;
use crate::modbus::amend::{self, is_permitted, AmendStep, POINTS_MAX, STEPS_MAX};
use crate::modbus::sunspec::Model;
use crate::modbus::survey::{SurveyFailure, SurveyResult};
use crate::site::within;
use crate::units::count;

/// The bytes of some answers; empty where there are none.
pub fn encode_models(answers: Vec<SurveyResult>) -> Vec<u8> {
    ModelBatch { answers: answers.into_iter().map(answer).collect() }.encode_to_vec()
}

fn answer((ticket, result): SurveyResult) -> ModelAnswer {
    let ticket = i64::try_from(ticket).unwrap_or(i64::MAX);
    let (found, why) = match result {
        Ok(found) => (found, None),
        Err((why, found)) => (found, Some(why)),
    };
    ModelAnswer {
        ticket,
        models: found.models.iter().map(model).collect(),
        registers: found.registers,
        failure: why.map_or(ModelFailure::Unspecified, failure).into(),
        exception: match why {
            Some(SurveyFailure::Refused(exception)) => exception.code().into(),
            _ => 0,
        },
        before: found.before,
        written: found.written.iter().map(block).collect(),
    }
}

/// The steps of a `core.v1.ModelAmendment` for a model: only settings that a utility control may reach, each bounded.
pub fn decode_amendment(model: u16, bytes: &[u8]) -> Result<Vec<AmendStep>, CoreError> {
    let amendment = ModelAmendment::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "ModelAmendment", reason: error.to_string() })?;
    within("amend_model: steps", count(amendment.steps.len()), 1, count(STEPS_MAX))?;
    for step in &amendment.steps {
        within("amend_model: writes of a step", count(step.writes.len()), 0, count(POINTS_MAX))?;
        within("amend_model: expected of a step", count(step.expected.len()), 0, count(POINTS_MAX))?;
        if let Some(refused) = step.writes.iter().find(|point| !is_permitted(model, &point.path)) {
            let expected = "power factor or var of model 704, or a setting of 705 to 712";
            return Err(CoreError::site(format!("amend_model: model {model}"), &refused.path, expected));
        }
    }
    let value = |point: PointValue| amend::PointValue { path: point.path, raw: point.raw };
    let step = |step: AmendmentStep| AmendStep {
        writes: step.writes.into_iter().map(value).collect(),
        expected: step.expected.into_iter().map(value).collect(),
    };
    Ok(amendment.steps.into_iter().map(step).collect())
}

fn block(write: &Write) -> RegisterBlock {
    RegisterBlock { address: write.start.into(), words: write.words.iter().map(|word| i64::from(*word)).collect() }
}

pub(super) fn model(model: &Model) -> SunSpecModel {
    SunSpecModel { id: model.id.into(), address: model.address.into(), length: model.length.into() }
}

fn failure(why: SurveyFailure) -> ModelFailure {
    match why {
        SurveyFailure::Queue => ModelFailure::Queue,
        SurveyFailure::Expired => ModelFailure::Expired,
        SurveyFailure::Disconnected => ModelFailure::Disconnected,
        SurveyFailure::Silent => ModelFailure::Silent,
        SurveyFailure::NoMap => ModelFailure::NoMap,
        SurveyFailure::NoModel => ModelFailure::NoModel,
        SurveyFailure::Refused(_) => ModelFailure::Refused,
        SurveyFailure::Malformed => ModelFailure::Malformed,
        SurveyFailure::NoPoint => ModelFailure::NoPoint,
        SurveyFailure::Mismatch => ModelFailure::Mismatch,
    }
}
