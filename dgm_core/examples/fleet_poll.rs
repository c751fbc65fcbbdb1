//! A fleet polled without Python, for the benchmark: what the reactor itself costs and how late it is.
//!
//! ```text
//! fleet_poll --port 5020 [--devices 1] [--lines DEVICES] [--period-ms 0] [--window 1] [--count 125] [--ms 1000]
//! ```
//!
//! Devices are spread evenly over lines (connections to one port of 127.0.0.1) and their due times over the period. A
//! period of 0 asks again as soon as it is answered; with a window, each device has as many reads as fit into it. One
//! line of JSON: reads, wall_ns, cpu_ns (of the process) and missed in the span measured; p50_ns, p99_ns and max_ns by
//! which reads were sent after their slot; window that the lines had at the end.
use std::cell::Cell;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dgm_core::fleet::{image_of, Fleet, FleetLine};
use dgm_core::modbus::endpoint::Endpoint;
use dgm_core::modbus::image::{RegisterImage, STAMP_WIDTH};
use dgm_core::modbus::mapped::Mapped;
use dgm_core::modbus::pdu::{Span, Table};
use dgm_core::modbus::polled::{ReadConfig, UnitConfig};
use dgm_core::modbus::session::{SessionConfig, Transport};
use dgm_core::reactor::board::{Board, LINE_COLUMNS};
use dgm_core::reactor::notify::Notifier;
use dgm_core::reactor::{clock, fleet_thread};
use dgm_core::units::Micros;
use rustix::time::{clock_gettime, ClockId};

/// Longest wait until every device was read, and how long it goes on before it is measured.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(700);
/// Between two looks at the stamps; a fleet with a shorter period is sampled.
const LOOK: Duration = Duration::from_millis(100);

struct Options {
    port: u16,
    devices: usize,
    lines: usize,
    period_ms: i64,
    window: u16,
    count: u16,
    span: Duration,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let given = |name: &str, absent: u32| -> Result<u32, Box<dyn Error>> {
            let Some(at) = words.iter().position(|word| word == name) else { return Ok(absent) };
            let word = words.get(at + 1).ok_or_else(|| format!("{name}: found nothing; expected a number"))?;
            Ok(word.parse().map_err(|_| format!("{name}: found {word}; expected a number"))?)
        };
        let devices = given("--devices", 1)?.max(1);
        Ok(Self {
            port: u16::try_from(given("--port", 5020)?)?,
            devices: usize::try_from(devices)?,
            lines: usize::try_from(given("--lines", devices)?.clamp(1, devices))?,
            period_ms: i64::from(given("--period-ms", 0)?),
            window: u16::try_from(given("--window", 1)?.max(1))?,
            count: u16::try_from(given("--count", 125)?)?,
            span: Duration::from_millis(u64::from(given("--ms", 1000)?)),
        })
    }

    fn fleet(&self) -> Vec<FleetLine> {
        let line = |first: usize| FleetLine {
            endpoint: Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: self.port },
            session: SessionConfig { transport: Transport::Tcp { window_max: self.window }, gap: Micros::ZERO },
            timeout: Micros::from_millis(500),
            units: (first..self.devices).step_by(self.lines).map(|device| self.unit(device)).collect(),
        };
        (0..self.lines).map(line).collect()
    }

    fn unit(&self, device: usize) -> UnitConfig {
        let phase = i64::try_from(device).unwrap_or(0) * self.period_ms / i64::try_from(self.devices).unwrap_or(1);
        let read = ReadConfig {
            table: Table::Holding,
            span: Span { start: 0, count: self.count },
            period: Micros::from_millis(self.period_ms),
            phase: Micros::from_millis(phase),
            age_max: Micros::from_millis(1_000),
        };
        let reads = if self.period_ms == 0 { usize::from(self.window) } else { 1 };
        UnitConfig { unit: 1, reads: vec![read; reads], points: Mapped::nothing() }
    }
}

/// What a look at the stamps shows.
struct Looks {
    words: Vec<Cell<u64>>,
    stamps: Vec<Cell<i64>>,
    late_us: Vec<i64>,
}

impl Looks {
    fn new(image: &RegisterImage) -> Self {
        let stamps = vec![Cell::new(0); image.rows() * STAMP_WIDTH];
        Self { words: vec![Cell::new(0); image.words()], stamps, late_us: Vec::new() }
    }

    /// Reads made so far; notes how late the newest of each changed device was.
    fn look(&mut self, image: &RegisterImage) -> i64 {
        let (stamps, late_us) = (&self.stamps, &mut self.late_us);
        image.copy_changed(&self.words, stamps, |device| {
            let rows = image.rows_of(device).unwrap_or_default();
            let stamp = stamps.iter().skip(rows.start * STAMP_WIDTH).map(Cell::get).collect::<Vec<_>>();
            if let [_, read_at, due_at, ..] = stamp.as_slice() {
                late_us.push(read_at - due_at);
            }
        });
        self.stamps.chunks(STAMP_WIDTH).filter_map(|row| row.last()).map(Cell::get).sum()
    }

    fn unread(&self) -> usize {
        let sequences = self.stamps.chunks(STAMP_WIDTH).filter_map(|row| row.last());
        sequences.filter(|sequence| sequence.get() == 0).count()
    }

    fn quantile_ns(&mut self, permille: usize) -> i64 {
        self.late_us.sort_unstable();
        let last = self.late_us.len().saturating_sub(1);
        self.late_us.get(last * permille / 1000).map_or(0, |us| us * 1000)
    }
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn column(board: &Board, name: &str) -> i64 {
    let at = LINE_COLUMNS.iter().position(|column| *column == name).unwrap_or_default();
    board.read_lines().iter().skip(at).step_by(LINE_COLUMNS.len()).sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let config = options.fleet();
    let image = Arc::new(image_of(&config));
    let board = Arc::new(Board::new(Arc::clone(&image), config.len(), Notifier::new()?));
    let thread = fleet_thread::start(Fleet::new(&config, Arc::clone(&image), clock::seed()), &board, None)?;
    let mut looks = Looks::new(&image);
    let patience = clock::micros() + Micros::from_millis(i64::try_from(CONNECT_MAX.as_millis())?);
    loop {
        looks.look(&image);
        if looks.unread() == 0 || clock::micros() >= patience {
            break;
        }
        std::thread::sleep(LOOK);
    }
    std::thread::sleep(SETTLE);
    let missed = column(&board, "polls_missed_total");
    let before = looks.look(&image);
    looks.late_us.clear();
    let (started, cpu) = (clock::micros(), cpu_ns());
    let end = started + Micros::from_millis(i64::try_from(options.span.as_millis())?);
    let mut reads = 0;
    while clock::micros() < end {
        let left = u64::try_from((end - clock::micros()).get()).unwrap_or(0);
        std::thread::sleep(LOOK.min(Duration::from_micros(left)));
        reads = looks.look(&image) - before;
    }
    let (cpu, wall) = (cpu_ns() - cpu, (clock::micros() - started).get() * 1000);
    let window = column(&board, "window");
    thread.stop()?;
    let missed = column(&board, "polls_missed_total") - missed;
    let [p50, p99, max] = [500, 990, 1000].map(|permille| looks.quantile_ns(permille));
    println!(
        "{{\"reads\": {reads}, \"wall_ns\": {wall}, \"cpu_ns\": {cpu}, \"missed\": {missed}, \"p50_ns\": {p50}, \
         \"p99_ns\": {p99}, \"max_ns\": {max}, \"window\": {window}}}"
    );
    Ok(())
}
