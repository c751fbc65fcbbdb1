//! Models that were read, to `core.v1.ModelBatch` bytes.

use prost::Message;

use super::core::{ModelAnswer, ModelBatch, ModelFailure};
use super::ems::SunSpecModel;
use crate::modbus::sunspec::Model;
use crate::modbus::survey::{SurveyFailure, SurveyResult};

/// The bytes of some answers; empty where there are none.
pub fn encode_models(answers: Vec<SurveyResult>) -> Vec<u8> {
    ModelBatch { answers: answers.into_iter().map(answer).collect() }.encode_to_vec()
}

fn answer((ticket, result): SurveyResult) -> ModelAnswer {
    let ticket = i64::try_from(ticket).unwrap_or(i64::MAX);
    match result {
        Ok(found) => ModelAnswer {
            ticket,
            models: found.models.iter().map(model).collect(),
            registers: found.registers,
            ..ModelAnswer::default()
        },
        Err((why, models)) => ModelAnswer {
            ticket,
            models: models.iter().map(model).collect(),
            failure: failure(why).into(),
            exception: match why {
                SurveyFailure::Refused(exception) => exception.code().into(),
                _ => 0,
            },
            ..ModelAnswer::default()
        },
    }
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
    }
}
