//! The registers: a small block of memory at a fixed address through which a call answers without allocating anything.
//!
//! | words | what |
//! |---|---|
//! | 0 | results of pending calls that wait to be fetched |
//! | 1 | kind of the error, place in `ErrorKind::ALL` |
//! | 2, 3 | float: when the engine wants to be woken; infinity for never |
//! | 4, 5 | the call that is pending, or whose result was fetched |
//! | 6, 7 | a number, or a handle (place, generation) |
//! | 8, 9 | where bytes begin, how many there are; 8: an exchange's kind |
//! | 10 | how many messages, results or lost tokens they hold |
//! | 11 | where the records of a batch begin |
//! | 12, 13 | float: a moment |
//! | 14 | what the engine noticed and nobody has fetched yet |
//! | 15 | tickets that wait to be fetched |
//! | 16 to 31 | the record of a single message, or of a ticket |

use ferrymq_core::model::{Delivery, Message, Time, Token};

/// Words in the registers.
const WORDS: usize = 32;
/// Where the record of a single message begins.
const RECORD_AT: usize = 16;
/// Words in the record of a message.
pub const RECORD_WORDS: usize = 16;
/// In a record's flags: it had been handed over before.
const REDELIVERED: u32 = 1 << 8;
/// In a record's flags: it has a token.
const HAS_TOKEN: u32 = 1 << 9;

/// See the module.
#[repr(C, align(8))]
#[derive(Default)]
pub struct Registers([u32; WORDS]);

impl Registers {
    /// Where JavaScript finds them.
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub fn set_events(&mut self, count: usize) {
        self.0[0] = count as u32;
    }

    pub fn set_error(&mut self, kind: usize) {
        self.0[1] = kind as u32;
    }

    pub fn set_deadline(&mut self, time: Time) {
        self.set_long(2, moment(time).to_bits());
    }

    pub fn set_call(&mut self, call: u64) {
        self.set_long(4, call);
    }

    pub fn set_number(&mut self, number: u64) {
        self.set_long(6, number);
    }

    pub fn set_handle(&mut self, place: u32, generation: u32) {
        self.0[6] = place;
        self.0[7] = generation;
    }

    pub fn set_kind(&mut self, kind: u32) {
        self.0[8] = kind;
    }

    pub fn set_bytes(&mut self, bytes: &[u8], count: usize) {
        self.0[8] = bytes.as_ptr() as usize as u32;
        self.0[9] = bytes.len() as u32;
        self.0[10] = count as u32;
    }

    pub fn set_batch(&mut self, records: &[[u32; RECORD_WORDS]], bytes: &[u8]) {
        self.set_bytes(bytes, records.len());
        self.0[11] = records.as_ptr() as usize as u32;
    }

    pub fn set_moment(&mut self, time: Time) {
        self.set_long(12, moment(time).to_bits());
    }

    pub fn set_notices(&mut self, count: usize) {
        self.0[14] = count as u32;
    }

    #[cfg(feature = "store")]
    pub fn set_tickets(&mut self, count: usize) {
        self.0[15] = count as u32;
    }

    /// A ticket as longs: its number, its file, where, how many bytes.
    #[cfg(feature = "store")]
    pub fn set_ticket(&mut self, longs: [u64; 4]) {
        for (place, long) in longs.into_iter().enumerate() {
            self.set_long(RECORD_AT + 2 * place, long);
        }
    }

    pub fn set_record(&mut self, record: [u32; RECORD_WORDS]) {
        self.0[RECORD_AT..].copy_from_slice(&record);
    }

    fn set_long(&mut self, at: usize, value: u64) {
        self.0[at] = value as u32;
        self.0[at + 1] = (value >> 32) as u32;
    }
}

/// A time as JavaScript has it: what never comes is infinity.
fn moment(time: Time) -> f64 {
    if time == Time::NEVER {
        f64::INFINITY
    } else {
        time.0 as f64
    }
}

/// A message as words: id, produced at, deadline, attempt, priority with flags, token, length of the body, length of the properties.
pub fn message_record(
    message: &Message,
    token: Option<Token>,
    deadline: Time,
    properties: usize,
) -> [u32; RECORD_WORDS] {
    let low = |value: u64| value as u32;
    let high = |value: u64| (value >> 32) as u32;
    let produced = moment(message.produced_at).to_bits();
    let ends = moment(deadline).to_bits();
    let mut flags = u32::from(message.priority);
    if message.redelivered {
        flags |= REDELIVERED;
    }
    if token.is_some() {
        flags |= HAS_TOKEN;
    }
    let mut record = [0; RECORD_WORDS];
    record[0] = low(message.id.0);
    record[1] = high(message.id.0);
    record[2] = low(produced);
    record[3] = high(produced);
    record[4] = low(ends);
    record[5] = high(ends);
    record[6] = message.attempt;
    record[7] = flags;
    if let Some(token) = token {
        record[8..14].copy_from_slice(&token_words(token));
    }
    record[14] = message.body.len() as u32;
    record[15] = properties as u32;
    record
}

/// A delivery as words.
pub fn delivery_record(delivery: &Delivery, properties: usize) -> [u32; RECORD_WORDS] {
    message_record(
        &delivery.message,
        delivery.token,
        delivery.deadline,
        properties,
    )
}

/// A token as JavaScript holds it: epoch, lease, and both halves of delivery and message, the high one first.
pub fn token_words(token: Token) -> [u32; 6] {
    [
        token.epoch,
        token.lease,
        (token.delivery.0 >> 32) as u32,
        token.delivery.0 as u32,
        (token.message.0 >> 32) as u32,
        token.message.0 as u32,
    ]
}
