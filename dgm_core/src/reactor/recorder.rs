//! Writes the log of a run to a file without ever holding the reactor up.
//!
//! ```text
//! fleet thread ── full buffers (bounded channel) ──> writer thread ── file
//!      ^──────────── empty ones ────────────────────────┘
//! ```
//!
//! When the file has its size, or the disk is slower than the fleet, the recording ends and says so; the fleet goes on.
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{channel, sync_channel, Receiver, SyncSender};
use std::thread::JoinHandle;

use crate::record::{Digest, Ending, Log};

/// Size from which a buffer is handed to the writer; less where the whole file is small.
const BUFFER: usize = 64 * 1024;
const PARTS: usize = 8;
/// Buffers that may wait for the disk.
const BUFFERS_MAX: usize = 64;

/// A recording under way.
pub struct Recorder {
    log: Log,
    left: usize,
    buffer: usize,
    ending: Option<Ending>,
    to_writer: Option<SyncSender<Vec<u8>>>,
    from_writer: Receiver<Vec<u8>>,
    writer: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins a file that must not exist yet; it grows to `bytes_max` and a last entry.
    pub fn create(path: &Path, bytes_max: usize, configuration: Digest, seed: u64) -> io::Result<Self> {
        let (mut file, mut log) = (File::create_new(path)?, Log::new(configuration, seed));
        file.write_all(&log.bytes)?;
        log.bytes.clear();
        let (to_writer, full) = sync_channel::<Vec<u8>>(BUFFERS_MAX);
        let (empty, from_writer) = channel();
        let write = move || {
            for mut buffer in full {
                // What a full disk does not take is missing at the end: the replay finds the log cut off.
                if file.write_all(&buffer).is_err() {
                    return;
                }
                buffer.clear();
                let _ = empty.send(buffer);
            }
        };
        Ok(Self {
            log,
            left: bytes_max,
            buffer: BUFFER.min(bytes_max / PARTS),
            ending: None,
            to_writer: Some(to_writer),
            from_writer,
            writer: Some(std::thread::Builder::new().name("dgm-record".to_owned()).spawn(write)?),
        })
    }

    /// To append to, while the recording goes on.
    pub fn log(&mut self) -> Option<&mut Log> {
        self.ending.is_none().then_some(&mut self.log)
    }

    /// Whether it goes on.
    pub fn is_on(&self) -> bool {
        self.ending.is_none()
    }

    /// Hands the buffer on if it is full. Never waits.
    pub fn pass_on(&mut self) {
        if self.log.bytes.len() >= self.buffer && self.ending.is_none() {
            self.flush();
        }
    }

    /// Hands on what there is. Never waits.
    pub fn flush(&mut self) {
        if self.ending.is_some() || self.log.bytes.is_empty() {
            return;
        }
        let size = self.log.bytes.len();
        if size > self.left {
            return self.break_off(Ending::Full);
        }
        let buffer = std::mem::replace(&mut self.log.bytes, self.from_writer.try_recv().unwrap_or_default());
        self.left -= size;
        let sent = self.to_writer.as_ref().map(|writer| writer.try_send(buffer));
        if !matches!(sent, Some(Ok(()))) {
            self.break_off(Ending::Lost);
        }
    }

    /// Ends it whole; waits for the disk.
    pub fn finish(&mut self, image: Digest) {
        self.flush();
        if self.ending.is_none() {
            self.log.end(Ending::Stopped, image);
            self.ending = Some(Ending::Stopped);
        }
        if let Some(writer) = self.to_writer.take() {
            // A writer that has ended has met an error of the disk.
            let _ = writer.send(std::mem::take(&mut self.log.bytes));
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }

    /// What was not handed on is dropped: the log stays a whole beginning of the run, with its end to be written.
    fn break_off(&mut self, ending: Ending) {
        self.log.bytes.clear();
        self.log.end(ending, Digest::default());
        self.ending = Some(ending);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A fleet that says more at once than the file may hold must not take the head of the log along.
    #[test]
    fn a_file_that_is_full_at_once_is_still_a_log_that_says_so() {
        let path = std::env::temp_dir().join(format!("dgm-recorder-{}", std::process::id()));
        let mut recorder = Recorder::create(&path, 64, Digest::default(), 7).unwrap();
        recorder.log().unwrap().bytes.extend([0; 1_000]);
        recorder.pass_on();
        assert!(!recorder.is_on());
        recorder.finish(Digest::default());
        let found = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut expected = Log::new(Digest::default(), 7);
        expected.end(Ending::Full, Digest::default());
        assert_eq!(found, expected.bytes);
    }
}
