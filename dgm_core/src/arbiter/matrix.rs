//! The constraint set as a sparse matrix of small integers.
//!
//! A row bounds the sum of coefficient x mA over its columns (EVSEs). In a CURRENT row the coefficient is 1; in a W row it
//! is the number of conductors, because all columns share one voltage: `sum(n * I) * V <= P` holds exactly when
//! `sum(n * I) <= floor(P / V)`, so nothing is lost by dividing the bound instead of multiplying every current.

/// Rows by columns, stored both ways.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    row_starts: Vec<usize>,
    row_entries: Vec<Entry>,
    column_starts: Vec<usize>,
    column_entries: Vec<Entry>,
}

/// Index and coefficient in one word: all rows of 10,000 columns stay in a processor's cache.
#[derive(Clone, Copy, Debug, Default)]
struct Entry(u32);

const TIMES_BITS: u32 = 3;

impl Entry {
    fn new(index: usize, times: i64) -> Self {
        let (index, times) = (u32::try_from(index).unwrap_or(0), u32::try_from(times).unwrap_or(0));
        debug_assert!(index < 1 << (u32::BITS - TIMES_BITS) && times < 1 << TIMES_BITS);
        Self(index << TIMES_BITS | times)
    }

    fn unpack(self) -> (usize, i64) {
        (usize::try_from(self.0 >> TIMES_BITS).unwrap_or(0), i64::from(self.0 & ((1 << TIMES_BITS) - 1)))
    }
}

impl Matrix {
    /// From the entries of each row: (column, coefficient 0..=7), every column at most once and below `columns`.
    pub fn new(columns: usize, rows: impl Iterator<Item = Vec<(usize, i64)>>) -> Self {
        let (mut row_starts, mut row_entries) = (vec![0], Vec::new());
        for row in rows {
            row_entries.extend(row.into_iter().map(|(column, times)| Entry::new(column, times)));
            row_starts.push(row_entries.len());
        }
        let mut matrix =
            Self { row_starts, row_entries, column_starts: vec![0; columns + 1], column_entries: Vec::new() };
        matrix.transpose(columns);
        matrix
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.row_starts.len().saturating_sub(1)
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.column_starts.len().saturating_sub(1)
    }

    /// Columns of a row with their coefficients.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (usize, i64)> + Clone + '_ {
        self.row_entries[self.row_starts[row]..self.row_starts[row + 1]].iter().map(|entry| entry.unpack())
    }

    /// Rows of a column with its coefficients.
    pub fn column(&self, column: usize) -> impl Iterator<Item = (usize, i64)> + Clone + '_ {
        self.column_entries[self.column_starts[column]..self.column_starts[column + 1]]
            .iter()
            .map(|entry| entry.unpack())
    }

    /// The row that leaves a column least, where what is `left` in a row is less than `amount` takes; absent: it fits.
    pub fn lacking(&self, column: usize, amount: i64, left: impl Fn(usize) -> i64) -> Option<usize> {
        let entries = self.column(column);
        if entries.clone().all(|(row, coefficient)| left(row) >= coefficient.saturating_mul(amount)) {
            return None;
        }
        entries.min_by_key(|&(row, coefficient)| left(row).div_euclid(coefficient)).map(|(row, _)| row)
    }

    /// The most that `column` may still take of what is left in its rows, and the row that says so.
    pub fn room(&self, column: usize, left: &[i64]) -> (i64, Option<usize>) {
        let rooms = self.column(column).map(|(row, coefficient)| (left[row].div_euclid(coefficient), Some(row)));
        rooms.min_by_key(|(room, _)| *room).unwrap_or((i64::MAX, None))
    }

    /// Takes `amount` of a column out of what is left in its rows.
    pub fn take(&self, column: usize, amount: i64, left: &mut [i64]) {
        for (row, coefficient) in self.column(column) {
            left[row] = left[row].saturating_sub(amount.saturating_mul(coefficient));
        }
    }

    fn transpose(&mut self, columns: usize) {
        for (column, _) in self.row_entries.iter().map(|entry| entry.unpack()) {
            self.column_starts[column + 1] += 1;
        }
        for column in 0..columns {
            self.column_starts[column + 1] += self.column_starts[column];
        }
        let mut next = self.column_starts.clone();
        self.column_entries = vec![Entry::default(); self.row_entries.len()];
        for row in 0..self.rows() {
            for entry in &self.row_entries[self.row_starts[row]..self.row_starts[row + 1]] {
                let (column, coefficient) = entry.unpack();
                self.column_entries[next[column]] = Entry::new(row, coefficient);
                next[column] += 1;
            }
        }
    }
}
