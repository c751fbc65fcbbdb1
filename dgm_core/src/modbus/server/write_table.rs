//! The write table of one table of a unit: what may be written together, by whom, how often, and how long it holds.
//!
//! ```text
//! write ── whole groups? role? range? lease? sequence? pace? ──> held until its lease ends ── not rewritten ──> fallback
//!             └── any "no": nothing of the request happens
//! ```
//!
//! A group is one value, or several that count only together. It holds no cells: `server` does.
use super::super::pdu::Span;
use super::party::Party;
use super::writable::{Cell, Writable};
use crate::units::Millis;

/// Clients whose pace is remembered for one group; one more has to wait until another's interval has passed.
pub const PACED_MAX: usize = 32;

/// How long a write holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Until the next write.
    Endless,
    /// This long.
    Fixed(Millis),
    /// As long as the client says in a member of the group.
    Written {
        /// Which member.
        member: usize,
        /// What 1 in it means.
        step: Millis,
        /// The longest; a longer one and one of 0 are refused.
        longest: Millis,
    },
}

/// How often one client may write: `burst` times at once, then once per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Shortest time between two writes in the long run.
    pub interval: Millis,
    /// Writes that may come at once, at least 1.
    pub burst: i64,
}

/// What a group asks of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How long it holds.
    pub lease: Lease,
    /// Roles that may write it; empty: any client.
    pub roles: Vec<String>,
    /// How often; `None`: as often as it likes.
    pub pace: Option<Pace>,
    /// Member whose value must grow (wrapping) with every write while the group is held.
    pub sequence: Option<usize>,
}

impl Rule {
    /// Anybody, at any pace.
    pub fn open(lease: Lease) -> Self {
        Self { lease, roles: Vec::new(), pace: None, sequence: None }
    }
}

/// Why a declaration or a fallback is refused; the text goes to whoever configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// low > high, or a number that the cells cannot hold.
    Range,
    /// Another writable value has one of the cells.
    Overlap,
    /// No value begins at this address.
    Unknown,
}

/// Why a write is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// A cell of the span is not writable.
    NotWritable,
    /// Half a value, or only part of a group.
    Incomplete,
    /// A value out of its range, or a lease of 0 or longer than the longest.
    BadValue,
    /// Not newer than what is held.
    OldSequence,
    /// The client's role has not the right.
    Denied,
    /// The client wrote too recently.
    TooSoon,
}

/// A write or a fallback that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// First cell of the value.
    pub address: u16,
    /// The value now in force.
    pub value: i64,
}

/// Who decides a group at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Nobody wrote, or the lease ended.
    Fallback,
    /// A client, until it must have rewritten.
    Client { until: Option<Millis> },
}

#[derive(Clone, Debug)]
struct Member {
    address: u16,
    writable: Writable,
    fallback: i64,
    /// The number last written.
    value: i64,
}

/// Values that are written together or not at all, in cells that follow one another.
#[derive(Clone, Debug)]
pub struct Group {
    start: u16,
    cells: u16,
    members: Vec<Member>,
    rule: Rule,
    holder: Holder,
    /// Clients by host, and until when their allowance is used up.
    paced: Vec<(u128, Millis)>,
}

impl Group {
    /// The values from `start` on, each with its fallback.
    pub fn new(start: u16, values: Vec<(Writable, i64)>, rule: Rule) -> Result<Self, TableError> {
        let mut group =
            Self { start, cells: 0, members: Vec::new(), rule, holder: Holder::Fallback, paced: Vec::new() };
        for (writable, fallback) in values {
            if !writable.form().holds(fallback) {
                return Err(TableError::Range);
            }
            let address = start.checked_add(group.cells).ok_or(TableError::Range)?;
            group.cells += writable.form().cells();
            group.members.push(Member { address, writable, fallback, value: fallback });
        }
        let is_addressable = u32::from(start) + u32::from(group.cells) <= 0x1_0000;
        (is_addressable && group.cells > 0).then_some(group).ok_or(TableError::Range)
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no value; there always is one.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The cells of all its values.
    pub fn span(&self) -> Span {
        Span { start: self.start, count: self.cells }
    }

    fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.cells)
    }

    /// Numbers written by these bytes, in order; the bytes are those of the whole group.
    fn values<'a>(&'a self, bytes: &'a [u8], cell: usize) -> impl Iterator<Item = Option<i64>> + 'a {
        let mut rest = bytes;
        self.members.iter().map(move |member| {
            let (own, after) = rest.split_at_checked(usize::from(member.writable.form().cells()) * cell)?;
            rest = after;
            member.writable.accept(own)
        })
    }

    fn check(&self, bytes: &[u8], cell: usize, party: &Party, now: Millis) -> Result<(), WriteError> {
        if !party.has_role(&self.rule.roles) {
            return Err(WriteError::Denied);
        }
        for (index, value) in self.values(bytes, cell).enumerate() {
            let value = value.ok_or(WriteError::BadValue)?;
            self.check_lease(index, value)?;
            if self.rule.sequence == Some(index) && !self.is_newer(index, value) {
                return Err(WriteError::OldSequence);
            }
        }
        self.check_pace(party.host, now)
    }

    fn check_lease(&self, index: usize, value: i64) -> Result<(), WriteError> {
        match self.rule.lease {
            Lease::Written { member, step, longest } if member == index => {
                let asked = step.get().saturating_mul(value);
                (1..=longest.get()).contains(&asked).then_some(()).ok_or(WriteError::BadValue)
            }
            _ => Ok(()),
        }
    }

    /// While nobody holds the group any number begins a sequence; then the next lies less than half the range ahead.
    fn is_newer(&self, index: usize, value: i64) -> bool {
        let Some(member) = self.members.get(index).filter(|_| self.holder != Holder::Fallback) else { return true };
        let values = 1i128 << (16 * u32::from(member.writable.form().cells()));
        let ahead = (i128::from(value) - i128::from(member.value)).rem_euclid(values);
        (1..values >> 1).contains(&ahead)
    }

    /// Virtual scheduling: a client is late by at most `burst - 1` intervals, or it has to wait.
    fn check_pace(&self, host: u128, now: Millis) -> Result<(), WriteError> {
        let Some(pace) = self.rule.pace else { return Ok(()) };
        let allowed = match self.paced.iter().find(|(own, _)| *own == host) {
            Some((_, until)) => (*until - now).get() <= pace.interval.get().saturating_mul(pace.burst - 1),
            None => self.paced.len() < PACED_MAX || self.paced.iter().any(|(_, until)| *until <= now),
        };
        allowed.then_some(()).ok_or(WriteError::TooSoon)
    }

    /// Takes over what `check` has passed.
    fn commit(&mut self, bytes: &[u8], cell: usize, party: &Party, now: Millis) {
        let mut rest = bytes;
        for member in &mut self.members {
            let (own, after) = rest.split_at(usize::from(member.writable.form().cells()) * cell);
            rest = after;
            member.value = member.writable.accept(own).unwrap_or(member.value);
        }
        self.holder = Holder::Client { until: self.length().map(|length| now + length) };
        self.use_allowance(party.host, now);
    }

    fn length(&self) -> Option<Millis> {
        match self.rule.lease {
            Lease::Endless => None,
            Lease::Fixed(length) => Some(length),
            Lease::Written { member, step, longest } => {
                let asked = self.members.get(member).map(|member| step.get().saturating_mul(member.value));
                Some(asked.map_or(longest, |asked| Millis::new(asked.min(longest.get()))))
            }
        }
    }

    fn use_allowance(&mut self, host: u128, now: Millis) {
        let Some(pace) = self.rule.pace else { return };
        let index = self.paced.iter().position(|(own, _)| *own == host);
        match index.and_then(|index| self.paced.get_mut(index)) {
            Some((_, until)) => *until = (*until).max(now) + pace.interval,
            None => {
                self.paced.retain(|(_, until)| *until > now);
                self.paced.push((host, now + pace.interval));
            }
        }
    }

    fn until(&self) -> Option<Millis> {
        match self.holder {
            Holder::Client { until } => until,
            Holder::Fallback => None,
        }
    }

    fn fall_back(&mut self) {
        self.holder = Holder::Fallback;
        self.members.iter_mut().for_each(|member| member.value = member.fallback);
    }

    /// Its values and their bytes.
    pub fn changes(&self) -> impl Iterator<Item = (Change, Cell)> + '_ {
        self.members.iter().map(|member| {
            let change = Change { address: member.address, value: member.value };
            (change, member.writable.form().encode(member.value))
        })
    }
}

/// All writable values of a table whose cells have `CELL` bytes.
#[derive(Debug, Default)]
pub struct WriteTable<const CELL: usize> {
    /// By address.
    groups: Vec<Group>,
}

impl<const CELL: usize> WriteTable<CELL> {
    /// Declares a group.
    pub fn allow(&mut self, group: Group) -> Result<(), TableError> {
        let index = self.place(&group)?;
        self.groups.insert(index, group);
        Ok(())
    }

    /// Where a group belongs among the others.
    pub fn place(&self, group: &Group) -> Result<usize, TableError> {
        let index = self.groups.partition_point(|other| other.start < group.start);
        let before = index.checked_sub(1).and_then(|before| self.groups.get(before));
        let after = self.groups.get(index);
        let overlaps = before.is_some_and(|before| before.end() > u32::from(group.start))
            || after.is_some_and(|after| group.end() > u32::from(after.start));
        (!overlaps).then_some(index).ok_or(TableError::Overlap)
    }

    /// Whether nothing can be written.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Sets what the value at `address` returns to. Its bytes to store at once, if no client holds its group.
    pub fn set_fallback(&mut self, address: u16, value: i64) -> Result<Option<Cell>, TableError> {
        let index = self.index_of(address).ok_or(TableError::Unknown)?;
        let group = self.groups.get_mut(index).ok_or(TableError::Unknown)?;
        let is_free = group.holder == Holder::Fallback;
        let member = group.members.iter_mut().find(|member| member.address == address).ok_or(TableError::Unknown)?;
        let form = member.writable.form();
        if !form.holds(value) {
            return Err(TableError::Range);
        }
        member.fallback = value;
        if is_free {
            member.value = value;
        }
        Ok(is_free.then(|| form.encode(value)))
    }

    /// Carries out a client's write of `bytes` from `start` on, or nothing of it; tells each value written.
    pub fn write(
        &mut self,
        start: u16,
        bytes: &[u8],
        party: &Party,
        now: Millis,
        mut tell: impl FnMut(Change),
    ) -> Result<Option<Millis>, WriteError> {
        let (mut address, mut rest) = (u32::from(start), bytes);
        while !rest.is_empty() {
            let (index, own, after) = self.next_group(address, rest)?;
            self.groups.get(index).map_or(Ok(()), |group| group.check(own, CELL, party, now))?;
            (address, rest) = (address + cells::<CELL>(own), after);
        }
        let (mut address, mut rest, mut first_end) = (u32::from(start), bytes, None::<Millis>);
        while let Ok((index, own, after)) = self.next_group(address, rest) {
            let Some(group) = self.groups.get_mut(index) else { break };
            group.commit(own, CELL, party, now);
            group.changes().for_each(|(change, _)| tell(change));
            first_end = first_end.into_iter().chain(group.until()).min();
            (address, rest) = (address + cells::<CELL>(own), after);
        }
        Ok(first_end)
    }

    /// The group that begins at an address, its bytes, and the bytes after it.
    fn next_group<'a>(&self, address: u32, rest: &'a [u8]) -> Result<(usize, &'a [u8], &'a [u8]), WriteError> {
        let address = u16::try_from(address).map_err(|_| WriteError::NotWritable)?;
        let index = self.index_of(address).ok_or(WriteError::NotWritable)?;
        let group = self.groups.get(index).filter(|group| group.start == address).ok_or(WriteError::Incomplete)?;
        let whole = rest.split_at_checked(usize::from(group.cells) * CELL);
        whole.filter(|_| !rest.is_empty()).map(|(own, after)| (index, own, after)).ok_or(WriteError::Incomplete)
    }

    /// The group that has the cell.
    fn index_of(&self, address: u16) -> Option<usize> {
        let index = self.groups.partition_point(|group| group.start <= address).checked_sub(1)?;
        self.groups.get(index).is_some_and(|group| u32::from(address) < group.end()).then_some(index)
    }

    /// Returns every group whose lease has ended to its fallbacks; tells each value and its bytes, by address.
    pub fn expire(&mut self, now: Millis, mut tell: impl FnMut(Change, Cell)) {
        for group in &mut self.groups {
            if group.until().is_some_and(|until| until <= now) {
                group.fall_back();
                group.changes().for_each(|(change, cell)| tell(change, cell));
            }
        }
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.groups.iter().filter_map(Group::until).min()
    }
}

fn cells<const CELL: usize>(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() / CELL).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "write_table_tests.rs"]
mod tests;
