//! What the host itself needs: to wake a thread when its timer fires, and to bring a stamp through an eventfd.
use std::io;

use crate::meter::{nanos, Meter};
use crate::poll::{fired, timer, Poll};
use crate::Arguments;

/// Calls `each` with the due time of each period until the span is over.
fn every(given: &Arguments, mut each: impl FnMut(u64, &mut Meter) -> io::Result<()>) -> io::Result<()> {
    let period = given.get(2, "PERIOD_US")? * 1000;
    let mut meter = Meter::start(given.span()?);
    let mut due = nanos() + period;
    let clock = timer(due, period)?;
    let mut poll = Poll::new()?;
    poll.add(&clock, 0)?;
    let (mut ready, mut times) = (Vec::new(), 0);
    while !meter.is_over() {
        poll.wait(&mut ready)?;
        let count = fired(&clock);
        due += period * count.saturating_sub(1);
        each(due, &mut meter)?;
        due += period;
        times += 1;
    }
    meter.report(times, &[]);
    Ok(())
}

/// 0 MILLISECONDS PERIOD_US: how late we wake.
pub fn timer_floor(given: &Arguments) -> io::Result<()> {
    every(given, |due, meter| {
        meter.took(nanos().saturating_sub(due));
        Ok(())
    })
}

/// 0 MILLISECONDS PERIOD_US: adds the time in ns to the eventfd that is standard output. Whoever reads it takes the time
/// again; a sum of two stamps gives itself away by its size.
pub fn boundary(given: &Arguments) -> io::Result<()> {
    let period = given.get(2, "PERIOD_US")? * 1000;
    let end = nanos() + given.span()?;
    let clock = timer(nanos() + period, period)?;
    let mut poll = Poll::new()?;
    poll.add(&clock, 0)?;
    let mut ready = Vec::new();
    while nanos() < end {
        poll.wait(&mut ready)?;
        fired(&clock);
        rustix::io::write(rustix::stdio::stdout(), &nanos().to_ne_bytes())?;
    }
    Ok(())
}
