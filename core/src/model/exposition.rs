//! Statistics as Prometheus reads them: its text format, version 0.0.4.

use std::fmt::Write;

use super::{BrokerStats, QueueStats};

/// The MIME type of that text, for whoever serves it over HTTP.
pub const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Name after `ferrymq_`, what it says, and where it is read. A name that ends in `_total` is a counter, any other a gauge.
type Family<T> = (&'static str, &'static str, fn(&T) -> Option<u64>);

const BROKER: &[Family<BrokerStats>] = &[
    ("queues", "Queues.", |s| Some(s.queues)),
    ("exchanges", "Exchanges.", |s| Some(s.exchanges)),
    ("messages", "Messages in all queues.", |s| Some(s.messages)),
    ("memory_bytes", "Memory that messages take.", |s| {
        Some(s.memory)
    }),
    (
        "memory_limit_bytes",
        "Most memory that messages may take.",
        |s| Some(s.memory_limit),
    ),
    (
        "waiting_calls",
        "Calls that wait for a message, for room or for a sync.",
        |s| Some(s.waiting),
    ),
];

const QUEUE: &[Family<QueueStats>] = &[
    ("queue_ready", "Messages that wait to be delivered.", |s| {
        Some(s.ready)
    }),
    ("queue_delayed", "Messages that wait for their time.", |s| {
        Some(s.delayed)
    }),
    ("queue_leased", "Messages with a consumer.", |s| {
        Some(s.leased)
    }),
    (
        "queue_held",
        "Dead letters that wait for room in their dead-letter queue.",
        |s| Some(s.held),
    ),
    ("queue_body_bytes", "Bytes of the bodies.", |s| {
        Some(s.bytes)
    }),
    (
        "queue_capacity",
        "Most messages at once; left out where there is no limit.",
        |s| s.capacity,
    ),
    ("queue_produced_total", "Messages accepted.", |s| {
        Some(s.produced)
    }),
    ("queue_acked_total", "Messages acknowledged.", |s| {
        Some(s.acked)
    }),
    (
        "queue_nacked_total",
        "Deliveries given back, counted.",
        |s| Some(s.nacked),
    ),
    ("queue_rejected_total", "Messages rejected.", |s| {
        Some(s.rejected)
    }),
    (
        "queue_released_total",
        "Deliveries given back, not counted.",
        |s| Some(s.released),
    ),
    ("queue_expired_total", "Messages expired.", |s| {
        Some(s.expired)
    }),
    (
        "queue_dead_lettered_total",
        "Messages moved to the dead-letter queue.",
        |s| Some(s.dead_lettered),
    ),
    (
        "queue_redelivered_total",
        "Messages handed over again.",
        |s| Some(s.redelivered),
    ),
    (
        "queue_dropped_total",
        "Messages pushed out or discarded.",
        |s| Some(s.dropped),
    ),
];

/// The statistics of a broker and its queues in Prometheus' text format. Durations are seconds there.
///
/// ```
/// use ferrymq_core::model::{BrokerStats, QueueStats, exposition};
/// let queue = QueueStats { name: "a\"b".into(), ready: 2, oldest_age: 1500, ..QueueStats::default() };
/// let text = exposition(&BrokerStats::default(), &[queue]);
/// assert!(text.contains("# TYPE ferrymq_queue_ready gauge\nferrymq_queue_ready{queue=\"a\\\"b\"} 2\n"));
/// assert!(text.contains("ferrymq_queue_oldest_age_seconds{queue=\"a\\\"b\"} 1.500\n"));
/// ```
#[must_use]
pub fn exposition(broker: &BrokerStats, queues: &[QueueStats]) -> String {
    let mut text = String::new();
    for (name, says, read) in BROKER {
        head(&mut text, name, says);
        if let Some(value) = read(broker) {
            line(&mut text, name, None, value, "");
        }
    }
    for (name, says, read) in QUEUE {
        head(&mut text, name, says);
        for queue in queues {
            if let Some(value) = read(queue) {
                line(&mut text, name, Some(&queue.name), value, "");
            }
        }
    }
    let name = "queue_oldest_age_seconds";
    head(&mut text, name, "Age of the oldest ready message.");
    for queue in queues {
        let (whole, part) = (queue.oldest_age / 1000, queue.oldest_age % 1000);
        line(
            &mut text,
            name,
            Some(&queue.name),
            whole,
            &format!(".{part:03}"),
        );
    }
    text
}

fn head(text: &mut String, name: &str, says: &str) {
    let kind = if name.ends_with("_total") {
        "counter"
    } else {
        "gauge"
    };
    let _ = writeln!(
        text,
        "# HELP ferrymq_{name} {says}\n# TYPE ferrymq_{name} {kind}"
    );
}

fn line(text: &mut String, name: &str, queue: Option<&str>, value: u64, part: &str) {
    let _ = write!(text, "ferrymq_{name}");
    if let Some(queue) = queue {
        text.push_str("{queue=\"");
        for letter in queue.chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                _ => text.push(letter),
            }
        }
        text.push_str("\"}");
    }
    let _ = writeln!(text, " {value}{part}");
}
