//! Models that people ask for: from an asset to the line and unit of its device, and the answers of all lines.
use super::Field;
use crate::modbus::amend::AmendStep;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::pdu::READ_MAX;
use crate::modbus::survey::{SurveyFailure, SurveyOrder, SurveyResult, Surveyed};
use crate::units::{AssetIndex, Micros};

/// Longest point of any model, registers: no read may be shorter.
const POINT_MAX: u16 = 32;
/// Bits of one byte on a serial line, and bytes of a read around its registers, request included.
const BITS: u32 = 11;
const FRAME: u32 = 13;
/// Reads a second that one of them may take of a serial line at most: a setpoint waits for one.
const READS_S: u32 = 20;

/// A model of an asset's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelQuestion {
    /// Names it.
    pub ticket: u64,
    /// Whose device.
    pub asset: AssetIndex,
    /// Number of the model; 0: only the chain.
    pub model: u16,
    /// Which of several of that number.
    pub occurrence: usize,
    /// When it must have ended.
    pub deadline: Micros,
}

impl Field {
    /// Hands a question to the line of the asset's device, with what is to be changed in the model; it is answered once.
    pub fn ask_model(&mut self, question: ModelQuestion, steps: Vec<AmendStep>, now: Micros) -> Option<SurveyResult> {
        let asked = self.ask(question, steps, now);
        asked.err().map(|why| (question.ticket, Err((why, Surveyed::default()))))
    }

    /// `Err`: the asset has no device here.
    fn ask(&mut self, question: ModelQuestion, steps: Vec<AmendStep>, now: Micros) -> Result<(), SurveyFailure> {
        let behind = self.assets.iter().map(|assets| assets.iter().position(|asset| *asset == question.asset));
        let place = behind.enumerate().find_map(|(line, device)| Some((line, device?)));
        let (line, device) = place.ok_or(SurveyFailure::NoMap)?;
        let (endpoint, line) = self.lines.get_mut(line).ok_or(SurveyFailure::NoMap)?;
        let most = registers_max(endpoint);
        line.update(now, |devices| {
            let registers_max = devices.survey_registers().clamp(POINT_MAX, most);
            let config = devices.config(device).ok_or(SurveyFailure::NoMap)?;
            let ModelQuestion { ticket, model, occurrence, deadline, .. } = question;
            let (unit, timeout) = (config.unit, config.timeout);
            let order = SurveyOrder { ticket, unit, model, occurrence, registers_max, timeout, deadline };
            devices.surveys().put(order, steps);
            Ok(())
        })
    }

    /// Questions that have been answered.
    pub fn take_models(&mut self) -> Vec<SurveyResult> {
        let taken =
            self.lines.iter_mut().map(|(_, line)| line.take(|devices| std::mem::take(&mut devices.surveys().done)));
        taken.flatten().collect()
    }
}

/// What a line carries in a twentieth of a second.
fn registers_max(endpoint: &Endpoint) -> u16 {
    match endpoint {
        Endpoint::Serial { format, .. } => {
            let bytes = format.baud / BITS / READS_S;
            let registers = bytes.saturating_sub(FRAME) / 2;
            u16::try_from(registers).unwrap_or(READ_MAX).clamp(POINT_MAX, READ_MAX)
        }
        Endpoint::Tcp { .. } | Endpoint::Secure { .. } => READ_MAX,
    }
}
