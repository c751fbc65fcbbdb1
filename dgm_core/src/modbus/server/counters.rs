//! What the server has counted since start, each refusal under its cause.
use super::super::pdu::Exception;
use super::write_table::WriteError;

/// Why bytes were no frame of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// Protocol id other than 0.
    Protocol,
    /// Length field outside 2..=254.
    Length,
    /// The PDU ends inside its fixed part, or its function code is no request.
    Pdu,
}

/// Counts since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Requests answered, exceptions included.
    pub requests: u64,
    /// Exceptions among the answers.
    pub exceptions: u64,
    /// Among them: exception 1.
    pub illegal_function: u64,
    /// Among them: exception 2.
    pub illegal_address: u64,
    /// Among them: exception 3.
    pub illegal_value: u64,
    /// Among them: exception 0x0B, a unit that is not served.
    pub unknown_unit: u64,
    /// Connections closed for bytes that are no frame of ours.
    pub bad_frames: u64,
    /// Among them: a wrong protocol id.
    pub bad_protocol: u64,
    /// Among them: a wrong length.
    pub bad_length: u64,
    /// Among them: a PDU that its frame cuts.
    pub bad_pdu: u64,
    /// Values written by clients.
    pub writes: u64,
    /// Writes refused: half a value or part of a group.
    pub incomplete_writes: u64,
    /// Writes refused: a value or lease out of range.
    pub out_of_range_writes: u64,
    /// Writes refused: a sequence number that is not newer.
    pub old_writes: u64,
    /// Writes refused: the client's role has not the right (exception 1).
    pub denied_writes: u64,
    /// Reads refused: the client's role has not the right (exception 1).
    pub denied_reads: u64,
    /// Writes refused: too soon after the last one (exception 6).
    pub too_soon_writes: u64,
    /// Values that returned to their fallback when their lease ended.
    pub fallbacks: u64,
}

impl ServerCounters {
    /// Counts an exception that was answered.
    pub fn refused(&mut self, exception: Exception) {
        self.requests += 1;
        self.exceptions += 1;
        match exception {
            Exception::IllegalFunction => self.illegal_function += 1,
            Exception::IllegalAddress => self.illegal_address += 1,
            Exception::IllegalValue => self.illegal_value += 1,
            Exception::GatewayTarget => self.unknown_unit += 1,
            // 6 is counted as a write that came too soon; the server sends no other.
            _ => {}
        }
    }

    /// Counts a connection that has to be closed.
    pub fn bad_frame(&mut self, cause: BadFrame) {
        self.bad_frames += 1;
        match cause {
            BadFrame::Protocol => self.bad_protocol += 1,
            BadFrame::Length => self.bad_length += 1,
            BadFrame::Pdu => self.bad_pdu += 1,
        }
    }

    /// Counts a refused write; the exception that says so.
    pub fn refused_write(&mut self, error: WriteError) -> Exception {
        let (counter, exception) = match error {
            WriteError::NotWritable => return Exception::IllegalAddress,
            WriteError::Incomplete => (&mut self.incomplete_writes, Exception::IllegalValue),
            WriteError::BadValue => (&mut self.out_of_range_writes, Exception::IllegalValue),
            WriteError::OldSequence => (&mut self.old_writes, Exception::IllegalValue),
            WriteError::Denied => (&mut self.denied_writes, Exception::IllegalFunction),
            WriteError::TooSoon => (&mut self.too_soon_writes, Exception::DeviceBusy),
        };
        *counter += 1;
        exception
    }

    /// Each count and the name under which it is told.
    pub fn named(&self) -> [(&'static str, u64); 18] {
        [
            ("modbus_requests_total", self.requests),
            ("modbus_exceptions_total", self.exceptions),
            ("modbus_illegal_function_total", self.illegal_function),
            ("modbus_illegal_address_total", self.illegal_address),
            ("modbus_illegal_value_total", self.illegal_value),
            ("modbus_unknown_unit_total", self.unknown_unit),
            ("modbus_bad_frames_total", self.bad_frames),
            ("modbus_bad_protocol_total", self.bad_protocol),
            ("modbus_bad_length_total", self.bad_length),
            ("modbus_bad_pdu_total", self.bad_pdu),
            ("writes_total", self.writes),
            ("writes_incomplete_total", self.incomplete_writes),
            ("writes_out_of_range_total", self.out_of_range_writes),
            ("writes_old_total", self.old_writes),
            ("writes_denied_total", self.denied_writes),
            ("reads_denied_total", self.denied_reads),
            ("writes_too_soon_total", self.too_soon_writes),
            ("watchdog_fallbacks_total", self.fallbacks),
        ]
    }
}
