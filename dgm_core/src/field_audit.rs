//! What devices did with their setpoints, by asset: taken from the devices once per tick.
use super::Field;
use crate::modbus::audit::News;
use crate::units::AssetIndex;

impl Field {
    /// What is new in the audit of each commanded asset since the last call.
    pub fn take_audit(&mut self) -> impl Iterator<Item = (AssetIndex, News)> + '_ {
        let lines = &mut self.lines;
        self.commanded.iter().filter_map(|(asset, served)| {
            let (_, line) = lines.get_mut(served.line)?;
            let news = line.take(|devices| devices.device_mut(served.device)?.audit_mut()?.take_news())?;
            Some((*asset, news))
        })
    }
}
