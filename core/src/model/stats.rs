//! Statistics: a snapshot that costs nothing to take.

use serde::{Deserialize, Serialize};

/// One queue in numbers. `size` = `ready` + `delayed` + `leased`, and `(head + size) % capacity == tail`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStats {
    /// The queue's name.
    pub name: String,
    /// Messages that wait to be delivered, those included whose sync is outstanding.
    pub ready: u64,
    /// Messages that wait for their time, held ones included.
    pub delayed: u64,
    /// Messages with a consumer.
    pub leased: u64,
    /// Messages that should be dead-lettered and wait for room there.
    pub held: u64,
    /// Bytes of the bodies of all of them.
    pub bytes: u64,
    /// Accepted since the queue was created.
    pub produced: u64,
    /// Acknowledged, with auto-acks.
    pub acked: u64,
    /// Given back, counted.
    pub nacked: u64,
    /// Rejected.
    pub rejected: u64,
    /// Given back, not counted.
    pub released: u64,
    /// Expired by TTL.
    pub expired: u64,
    /// Moved to the dead-letter queue.
    pub dead_lettered: u64,
    /// Handed over again.
    pub redelivered: u64,
    /// Pushed out by `drop_oldest`, or discarded because `dead_letter` is off.
    pub dropped: u64,
    /// Age of the oldest ready message, milliseconds; 0 when none.
    pub oldest_age: u64,
    /// Removed so far, modulo capacity.
    pub head: u64,
    /// Accepted so far, modulo capacity.
    pub tail: u64,
    /// `ready` + `delayed` + `leased`.
    pub size: u64,
    /// Most messages at once; `None`: no limit.
    pub capacity: Option<u64>,
}

/// The broker in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStats {
    /// How many queues there are.
    pub queues: u64,
    /// How many exchanges there are.
    pub exchanges: u64,
    /// Messages in all queues.
    pub messages: u64,
    /// Memory that messages take, as `memory_limit` counts it, bytes.
    pub memory: u64,
    /// Most memory that messages may take, bytes.
    pub memory_limit: u64,
    /// Calls that wait (consumers for a message, producers for room or a sync).
    pub waiting: u64,
}
