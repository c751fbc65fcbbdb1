//! What is known of devices over a restart: handed in before the first tick, taken from the devices once per tick.
use super::Field;
use crate::modbus::learnt::Learnt;
use crate::units::{AssetIndex, Micros};

impl Field {
    /// What was found out of an asset's device before.
    pub fn know(&mut self, asset: AssetIndex, learnt: Learnt, now: Micros) {
        let mut devices = self.assets.iter().zip(&mut self.lines);
        let found = devices.find_map(|(assets, (_, line))| Some((assets.iter().position(|of| *of == asset)?, line)));
        if let Some((device, line)) = found {
            line.update(now, |devices| devices.know(device, learnt, now));
        }
    }

    /// What was found out since the last call; `None`: another device than before, what was known is to be forgotten.
    pub fn take_learnt(&mut self) -> Vec<(AssetIndex, Option<Learnt>)> {
        let lines = self.assets.iter().zip(&mut self.lines);
        let of_line = |(assets, (_, line)): (&Vec<AssetIndex>, &mut (_, crate::modbus::line::Line))| {
            let of_device = |(device, asset): (usize, &AssetIndex)| {
                let learnt = line.take(|devices| devices.device_mut(device)?.take_learnt())?;
                Some((*asset, learnt))
            };
            assets.iter().enumerate().filter_map(of_device).collect::<Vec<_>>()
        };
        lines.flat_map(of_line).collect()
    }
}
