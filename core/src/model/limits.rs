//! Every bound of the engine, by name, unit last. Relations between bounds are asserted when this compiles.

use super::Span;

/// Longest body of a message.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest name of a queue or exchange, in bytes of UTF-8 (AMQP's short string).
pub const NAME_BYTES_MAX: usize = 255;
/// Longest key, pattern, content type, correlation id, reply address, dedup id.
pub const KEY_BYTES_MAX: usize = 255;
/// Headers of one message, names and values together.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How deep lists and maps may nest in a header.
pub const HEADER_DEPTH_MAX: usize = 32;
/// Longest reason given with nack or reject; what is longer is cut there, so that an exception's text never refuses a settlement.
pub const REASON_BYTES_MAX: usize = 1024;
/// Most messages in one batch.
pub const BATCH_MESSAGES_MAX: usize = 100_000;
/// Most operations in one transaction.
pub const TRANSACTION_OPERATIONS_MAX: usize = 100_000;
/// Most bytes of bodies in one batch or transaction: one frame of the log.
pub const BATCH_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Most priorities a queue may have; a message's priority is below its queue's number of them.
pub const PRIORITIES_MAX: u32 = 255;
/// Shortest lease.
pub const LEASE_MS_MIN: u64 = 1;
/// Longest time a delivery can be held, with all extensions.
pub const LEASE_MS_MAX: u64 = 12 * 60 * 60 * 1000;
/// Lease of a queue that does not say.
pub const LEASE_MS_DEFAULT: u64 = 30 * 1000;
/// Longest delay, TTL or backoff: 100 years keeps every sum far from the end of the number.
pub const SPAN_MS_MAX: u64 = 100 * 366 * 24 * 60 * 60 * 1000;
/// Attempts of a queue that does not say.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 20;
/// Most queues in one broker.
pub const QUEUES_MAX: usize = 1_000_000;
/// Most exchanges in one broker.
pub const EXCHANGES_MAX: usize = 100_000;
/// Most bindings of one exchange.
pub const BINDINGS_MAX: usize = 1_000_000;
/// Most calls that may wait at once (blocked consumers and producers).
pub const WAITING_CALLS_MAX: usize = 1_000_000;
/// Most messages that a push consumer may have unsettled or reserved.
pub const PREFETCH_MAX: u32 = 65_535;
/// Prefetch of a consumer that does not say.
pub const PREFETCH_DEFAULT: u32 = 100;
/// Most handlers of one subscription that run at once.
pub const SUBSCRIPTION_HANDLERS_MAX: u32 = 1_000;
/// Most push consumers of one queue: whose turn it is, is looked for among them one by one.
pub const QUEUE_CONSUMERS_MAX: usize = 10_000;
/// Most push consumers of one broker.
pub const CONSUMERS_MAX: usize = 1_000_000;
/// Memory for messages of a broker that does not say.
pub const MEMORY_BYTES_DEFAULT: u64 = if cfg!(target_pointer_width = "32") {
    512 * 1024 * 1024
} else {
    4 * 1024 * 1024 * 1024
};
/// What a message costs beside its body and properties, in the account of `memory_limit`.
pub const MESSAGE_OVERHEAD_BYTES: usize = 100;
/// What a remembered dedup id costs beside its bytes, in the account of `memory_limit`: its place in two tables.
pub const DEDUP_ID_OVERHEAD_BYTES: usize = 100;
/// Dedup ids whose window is over are forgotten together, at the latest when this part of the window has gone by since the first of them.
pub const DEDUP_SLACK_PARTS: u64 = 16;
/// Most outcomes that a lasting session may have unacknowledged: a command is refused whose number is further than this above the last answer that the session has seen.
pub const SESSION_OUTCOMES_MAX: u64 = 1_024;
/// A lasting session is forgotten so long after it was last heard of.
pub const SESSION_IDLE_MS: Span = Span(60 * 60 * 1000);
/// Most lasting sessions; one more lets go the one that was not heard of for longest.
pub const LASTING_SESSIONS_MAX: usize = 1_000;
/// What a lasting session costs, in the account of `memory_limit`.
pub const SESSION_OVERHEAD_BYTES: usize = 200;
/// What an outcome costs beside the lists in it, in the account of `memory_limit`.
pub const OUTCOME_OVERHEAD_BYTES: usize = 150;
/// A settlement that waits for no sync is durable at the latest so long after it was written.
pub const SYNC_DELAY_MS_MAX: Span = Span(10);
/// Bytes of a segment of the log where nothing else is said.
pub const SEGMENT_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Bytes of a segment on the disk in memory that tests use: so many can be written before it has to sync by itself.
pub const SEGMENT_BYTES_TESTING: u64 = 256 * 1024;
/// Most files without a segment that are kept for segments to come; more are deleted.
pub const FREE_SEGMENTS_MAX: usize = 8;
/// A segment file is filled with zeros so far ahead of small writes, bytes: then a sync has nothing to change in the file's map.
pub const ZEROED_AHEAD_BYTES: u64 = 256 * 1024;
/// Least bytes of a segment.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// Numbers in a log are below this (of a frame, a segment, a message, a count; a time in milliseconds): so far from the end of 64 bits that no sum of them overflows. None that counts from 1 comes there.
pub const LOG_NUMBER_MAX: u64 = 1 << 62;
/// Commands that wait in the driver's ring for whoever takes the lock next.
pub const RING_COMMANDS_MAX: usize = 256;
/// A queue of replies on which nobody listens any more ends after so long.
pub const REPLIES_EXPIRE_MS: Span = Span(60_000);
/// How often the driver looks whether an alarm's condition has become true.
pub const ALARM_LOOK_MS: Span = Span(100);
/// Most alarms of one broker.
pub const ALARMS_MAX: usize = 1_000;
/// Most calls of alarms that wait for the one before to return; what would be more is looked for again.
pub const ALERTS_MAX: usize = 1_024;
/// The same notice of one queue is told at most this often.
pub const NOTICE_MS: Span = Span(1_000);
/// Most different notices that wait to be told; more are not told.
pub const NOTICES_MAX: usize = 1_024;

const _: () = assert!(LEASE_MS_MIN <= LEASE_MS_DEFAULT && LEASE_MS_DEFAULT <= LEASE_MS_MAX);
const _: () = assert!(LEASE_MS_MAX <= SPAN_MS_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX as u64 <= MEMORY_BYTES_DEFAULT);
const _: () = assert!(PREFETCH_DEFAULT <= PREFETCH_MAX);
const _: () = assert!(SUBSCRIPTION_HANDLERS_MAX <= PREFETCH_MAX);
const _: () = assert!(QUEUE_CONSUMERS_MAX <= CONSUMERS_MAX);
const _: () = assert!(PRIORITIES_MAX <= u8::MAX as u32);
const _: () = assert!(BATCH_BYTES_MAX < u32::MAX as usize);
