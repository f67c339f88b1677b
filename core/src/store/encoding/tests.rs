//! The hand-written bytes beside those of postcard, and bytes that are none.

use super::*;
use crate::store::format::decode;
use proptest::prelude::*;

fn headers() -> BTreeMap<String, HeaderValue> {
    let list = vec![
        HeaderValue::Null,
        HeaderValue::Bool(true),
        HeaderValue::Int(i64::MIN),
        HeaderValue::Int(-1),
        HeaderValue::Float(-0.5),
        HeaderValue::Str("grüße".to_owned()),
        HeaderValue::Bytes(vec![0, 255]),
        HeaderValue::Timestamp(1_700_000_000_000),
    ];
    let inner = BTreeMap::from_iter([("in".to_owned(), HeaderValue::List(list))]);
    BTreeMap::from_iter([
        ("map".to_owned(), HeaderValue::Map(inner)),
        ("none".to_owned(), HeaderValue::Null),
    ])
}

fn accepted() -> Accepted {
    Accepted {
        queue: QUEUE,
        id: MessageId(u64::MAX),
        body: Arc::from(&b"body"[..]),
        properties: Some(Arc::new(Properties {
            key: Some("k".to_owned()),
            headers: headers(),
            dedup_id: Some("once".into()),
            ..Properties::default()
        })),
        priority: 200,
        level: Durability::Written,
        produced_at: Time(127),
        due: Time(128),
        expires_at: Time::NEVER,
        attempt: 3,
        redelivered: true,
    }
}

const QUEUE: QueueId = QueueId {
    index: 300,
    generation: u32::MAX,
};
const EXCHANGE: ExchangeId = ExchangeId {
    index: 1,
    generation: 2,
};
const MESSAGE: MessageId = MessageId(7);

fn of_messages() -> Vec<Record> {
    let causes = [
        Departure::Acked,
        Departure::Taken,
        Departure::Rejected,
        Departure::Expired,
        Departure::MaxAttempts,
        Departure::Overflow,
    ];
    let returns = [Return::Nacked, Return::Released, Return::LeaseEnded];
    let mut records = vec![
        Record::Accepted(accepted()),
        Record::Accepted(Accepted {
            properties: None,
            ..accepted()
        }),
        Record::Leased {
            message: MESSAGE,
            attempt: 2,
        },
        Record::Held {
            message: MESSAGE,
            cause: Departure::Rejected,
            detail: None,
        },
        Record::Moved(Moved {
            from: Some(MESSAGE),
            to: accepted(),
            cause: Departure::Overflow,
        }),
    ];
    records.extend(causes.map(|cause| Record::Removed {
        message: MESSAGE,
        cause,
    }));
    records.extend(returns.map(|cause| Record::Returned {
        message: MESSAGE,
        attempt: 1,
        due: Time(2),
        cause,
        reason: Some("why".to_owned()),
    }));
    records
}

fn of_queues() -> Vec<Record> {
    let dead = [
        DeadLetter::Default,
        DeadLetter::Queue("dead".to_owned()),
        DeadLetter::Exchange("e".to_owned(), "key".to_owned()),
        DeadLetter::Off,
    ];
    let stats = QueueStats {
        name: "q".to_owned(),
        ready: 1 << 40,
        capacity: Some(9),
        ..QueueStats::default()
    };
    let mut records = vec![
        Record::Checkpoint {
            last_message: MESSAGE,
            generation_floor: 5,
            epoch: 2,
            segments: vec![
                Sealed {
                    segment: 1,
                    first_lsn: 1,
                    end_lsn: 200,
                },
                Sealed {
                    segment: 7,
                    first_lsn: 201,
                    end_lsn: 1 << 40,
                },
            ],
        },
        Record::Recycled { segment: 300 },
        Record::Counts {
            queue: QUEUE,
            stats: Box::new(stats),
        },
        Record::QueueDeleted { queue: QUEUE },
        Record::Remembered {
            queue: QUEUE,
            name: "once".into(),
            message: MESSAGE,
            at: Time(1),
        },
        Record::Forgotten {
            queue: QUEUE,
            at: Time(1),
            window: Span(2),
        },
    ];
    records.extend(dead.map(|dead_letter| Record::Queue {
        queue: QUEUE,
        name: "q".to_owned(),
        spec: QueueSpec {
            dead_letter,
            overflow: Overflow::Block,
            dispatch: Dispatch::LeastLoaded,
            ttl: Some(Span(1)),
            exclusive: true,
            durability: Some(Durability::Durable),
            ..QueueSpec::default()
        },
    }));
    records
}

fn of_exchanges() -> Vec<Record> {
    let kinds = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
    ];
    let binding = |to| Binding {
        headers: headers(),
        matching: Match::Any,
        ..Binding::new(to, "a.#")
    };
    let mut records = vec![
        Record::ExchangeDeleted { exchange: EXCHANGE },
        Record::Bound {
            exchange: EXCHANGE,
            binding: binding(Destination::Queue(QUEUE)),
        },
        Record::Unbound {
            exchange: EXCHANGE,
            binding: binding(Destination::Exchange(EXCHANGE)),
        },
    ];
    records.extend(kinds.map(|kind| Record::Exchange {
        exchange: EXCHANGE,
        name: "e".to_owned(),
        kind,
        alternate: Some("other".to_owned()),
    }));
    records
}

fn of_sessions() -> Vec<Record> {
    const SESSION: SessionName = SessionName(*b"sixteen bytes...");
    let token = Token {
        epoch: 1,
        lease: 1 << 20,
        delivery: DeliveryNo(3),
        message: MESSAGE,
    };
    let parts = vec![
        SavedPart::Done,
        SavedPart::Count(2),
        SavedPart::Produced(MESSAGE),
    ];
    let replies = [
        SavedReply::Done,
        SavedReply::Queue(QUEUE),
        SavedReply::Exchange(EXCHANGE, ExchangeKind::Topic),
        SavedReply::Count(1 << 40),
        SavedReply::Produced(MESSAGE),
        SavedReply::ProducedMany(vec![MESSAGE, MessageId(300)]),
        SavedReply::Lost(vec![token]),
        SavedReply::Transaction(parts),
    ];
    let mut records = vec![
        Record::Session {
            session: SESSION,
            seen: 2,
            heard: Time(1 << 40),
        },
        Record::SessionForgotten { session: SESSION },
    ];
    records.extend(replies.map(|reply| Record::Answered {
        session: SESSION,
        number: 300,
        seen: 299,
        at: Time(1 << 40),
        reply,
    }));
    records
}

/// Of every kind of record one, and of every word each.
fn records() -> Vec<Record> {
    [of_messages(), of_queues(), of_exchanges(), of_sessions()].concat()
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.put(&mut bytes);
    bytes
}

#[test]
fn the_bytes_are_those_of_postcard_and_come_back() {
    for record in records() {
        let bytes = encoded(&record);
        assert_eq!(bytes, postcard::to_allocvec(&record).unwrap(), "{record:?}");
        assert_eq!(decode(&bytes), Some(vec![record]));
    }
}

/// It comes back as the record that it stands for; format.rs has the test.
#[test]
fn a_body_that_is_in_its_frame_already_is_a_record_of_its_own() {
    let same = Record::SameBody(accepted());
    let bytes = encoded(&same);
    assert_eq!(bytes, postcard::to_allocvec(&same).unwrap());
    assert_eq!(Record::take(&mut Source::new(&bytes)), same);
}

#[test]
fn what_is_cut_or_changed_is_refused_or_something_else_and_never_stops() {
    for record in records() {
        let bytes = encoded(&record);
        for end in 1..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "{record:?} cut at {end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let same = decode(&changed) == Some(vec![record.clone()]);
                assert!(!same || changed == bytes, "{record:?} changed at {at}");
            }
        }
    }
}

#[test]
fn headers_are_as_deep_as_a_message_may_have_them() {
    // Lists of one within each other.
    let nested = |depth| {
        let bytes = [[7, 1].repeat(depth), vec![0]].concat();
        let mut source = Source::new(&bytes);
        let _ = HeaderValue::take(&mut source);
        !source.is_bad() && source.is_at_end()
    };
    assert!(nested(HEADER_DEPTH_MAX - 1));
    assert!(!nested(HEADER_DEPTH_MAX));
    assert!(!nested(100_000));
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(records) = decode(&bytes) {
            prop_assert!(records.len() <= bytes.len());
        }
    }
}
