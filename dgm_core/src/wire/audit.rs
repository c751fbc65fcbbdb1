//! What is new in the audit of each asset to `core.v1.AuditBatch` bytes.

use prost::Message;

use super::core::{AuditBatch, AuditEntry, AuditNews};
use super::ems::{FieldAuditEntry, RegisterBlock, SetpointCounts, SetpointVerdict};
use crate::modbus::actuator::Write;
use crate::modbus::audit::{Counts, Entry, News, Verdict};
use crate::units::{count, AssetIndex};

/// The bytes of all news; empty where there are none.
pub fn encode_audit(news: &[(AssetIndex, News)]) -> Vec<u8> {
    let assets = news.iter().map(|(asset, news)| AuditNews {
        asset_index: count(asset.0),
        entries: news.entries.iter().map(entry).collect(),
        lost: number(news.lost),
        counts: Some(counts(&news.counts)),
    });
    AuditBatch { assets: assets.collect() }.encode_to_vec()
}

fn entry(entry: &Entry) -> AuditEntry {
    let found = FieldAuditEntry {
        number: number(entry.number),
        epoch: entry.epoch,
        power_w: entry.power.get(),
        verdict: verdict(entry.verdict).into(),
        times: number(entry.times),
        measured_w: entry.measured.map(|power| power.get()),
        written: entry.written.iter().map(block).collect(),
        read_back: entry.read_back.iter().map(block).collect(),
        ..FieldAuditEntry::default()
    };
    AuditEntry { at_mono_ms: entry.at.to_millis().get(), entry: Some(found) }
}

fn block(write: &Write) -> RegisterBlock {
    RegisterBlock { address: write.start.into(), words: write.words.iter().map(|word| i64::from(*word)).collect() }
}

fn verdict(verdict: Verdict) -> SetpointVerdict {
    match verdict {
        Verdict::Confirmed => SetpointVerdict::Confirmed,
        Verdict::Mismatch => SetpointVerdict::Mismatch,
        Verdict::Overwritten => SetpointVerdict::Overwritten,
        Verdict::Reverted => SetpointVerdict::Reverted,
        Verdict::Refused => SetpointVerdict::Refused,
        Verdict::Silent => SetpointVerdict::Silent,
        Verdict::Stale => SetpointVerdict::Stale,
        Verdict::Local => SetpointVerdict::Local,
        Verdict::Stopped => SetpointVerdict::Stopped,
        Verdict::Disobeyed => SetpointVerdict::Disobeyed,
        Verdict::Obeyed => SetpointVerdict::Obeyed,
    }
}

fn counts(counts: &Counts) -> SetpointCounts {
    SetpointCounts {
        sent: number(counts.sent),
        confirmed: number(counts.confirmed),
        mismatch: number(counts.mismatch),
        overwritten: number(counts.overwritten),
        reverted: number(counts.reverted),
        refused: number(counts.refused),
        silent: number(counts.silent),
        stale: number(counts.stale),
        local: number(counts.local),
        stopped: number(counts.stopped),
        disobeyed: number(counts.disobeyed),
        obeyed: number(counts.obeyed),
        ..SetpointCounts::default()
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
