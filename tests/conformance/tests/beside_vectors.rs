//! What is promised and no vector can say (tests/vectors/uncovered.toml names it): ids, sessions, cancelled calls, the broker in numbers.

use std::collections::BTreeSet;

use ferrymq_core::driver::{Broker, Options, Queue, Started};
use ferrymq_core::engine::{Command, Reply, Wait};
use ferrymq_core::model::{
    Binding, BrokerStats, Delivery, ErrorKind, ExchangeKind, HeaderValue, Match, Outgoing,
    QueueOptions, SessionId, Span,
};

fn opened() -> (Broker, Queue) {
    let broker = Broker::open(Options::default()).expect("the defaults are good");
    let queue = broker
        .queue("q", QueueOptions::default())
        .expect("the defaults are good");
    (broker, queue)
}

fn consume(queue: &Queue, session: SessionId, wait: Wait) -> Command {
    Command::Consume {
        queue: queue.id(),
        session,
        auto_ack: false,
        wait,
    }
}

fn delivered(broker: &Broker, queue: &Queue, session: SessionId) -> Option<Delivery> {
    match broker.call(consume(queue, session, Wait::No)) {
        Ok(Reply::Delivery(delivery)) => delivery,
        other => panic!("{other:?}"),
    }
}

fn numbers(broker: &Broker) -> BrokerStats {
    match broker.call(Command::BrokerStats) {
        Ok(Reply::Broker(stats)) => *stats,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_are_unique_in_the_store_and_grow_within_a_queue() {
    let (broker, q) = opened();
    let r = broker.queue("r", QueueOptions::default()).unwrap();
    let mut all = BTreeSet::new();
    let mut last = [None, None];
    for round in 0..100 {
        for (at, queue) in [&q, &r].into_iter().enumerate() {
            let mut ids = vec![queue.produce("a").unwrap()];
            ids.extend(
                queue
                    .produce_many(vec![Outgoing::from("b"), Outgoing::from("c")])
                    .unwrap(),
            );
            for id in ids {
                assert!(last[at] < Some(id), "{id:?} does not grow");
                last[at] = Some(id);
                assert!(all.insert(id), "{id:?} was given twice");
            }
            if round % 10 == 0 {
                queue.purge().unwrap();
            }
        }
    }
}

#[test]
fn a_closed_session_gives_back_uncounted_what_it_held() {
    let (broker, q) = opened();
    q.produce("a").unwrap();
    let Reply::Session(session) = broker.call(Command::OpenSession).unwrap() else {
        panic!("a session was asked for");
    };
    let held = delivered(&broker, &q, session).expect("there is a message");
    assert_eq!(held.message.attempt, 1);
    let Started::Pending(waiting) = broker.start(consume(&q, session, Wait::Forever)) else {
        panic!("the queue is empty for the second call");
    };
    broker.call(Command::CloseSession { session }).unwrap();
    assert_eq!(waiting.wait().unwrap_err().kind(), ErrorKind::Closed);
    let refused = broker.call(consume(&q, session, Wait::No));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
    let again = delivered(&broker, &q, broker.session()).expect("it came back");
    assert_eq!(
        (again.message.attempt, again.message.redelivered),
        (1, true)
    );
    let late = broker.call(Command::Ack {
        token: held.token.expect("it was leased"),
        durable: false,
    });
    assert_eq!(late.unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[test]
fn a_cancelled_call_takes_nothing() {
    let (broker, q) = opened();
    let Started::Pending(waiting) = broker.start(consume(&q, broker.session(), Wait::Forever))
    else {
        panic!("the queue is empty");
    };
    assert_eq!(numbers(&broker).waiting, 1);
    let call = waiting.id().expect("it waits for the engine");
    broker.call(Command::Cancel { call }).unwrap();
    assert_eq!(numbers(&broker).waiting, 0);
    q.produce("a").unwrap();
    let taken = q
        .consume(Some(Span(0)))
        .unwrap()
        .expect("nobody else took it");
    assert_eq!((taken.body(), taken.message().attempt), (&b"a"[..], 1));
}

#[test]
fn a_dropped_call_gives_back_what_it_was_given() {
    let (broker, q) = opened();
    let Started::Pending(waiting) = broker.start(consume(&q, broker.session(), Wait::Forever))
    else {
        panic!("the queue is empty");
    };
    q.produce("a").unwrap();
    drop(waiting);
    let taken = q.consume(Some(Span(0))).unwrap().expect("it came back");
    assert_eq!(taken.message().attempt, 1);
}

#[test]
fn the_broker_in_numbers() {
    let (broker, q) = opened();
    broker.exchange("e", ExchangeKind::Topic).unwrap();
    let empty = numbers(&broker);
    assert_eq!(
        (empty.queues, empty.exchanges, empty.messages, empty.memory),
        (1, 1, 0, 0)
    );
    assert_eq!(empty.memory_limit, Options::default().memory_limit);
    q.produce(&[0; 1000][..]).unwrap();
    let one = numbers(&broker);
    assert_eq!(one.messages, 1);
    assert!((1000..1200).contains(&one.memory), "{} bytes", one.memory);
    q.consume(None)
        .unwrap()
        .expect("it is there")
        .ack()
        .unwrap();
    assert_eq!(numbers(&broker), empty);
}

/// The typed handles make the commands that the vectors give.
#[test]
fn exchanges_by_their_handles() {
    let (broker, q) = opened();
    let rest = broker.exchange("rest", ExchangeKind::Fanout).unwrap();
    let e = broker
        .exchange_with_alternate("e", ExchangeKind::Headers, "rest")
        .unwrap();
    assert_eq!(
        broker.existing_exchange("e").unwrap().kind(),
        ExchangeKind::Headers
    );
    assert_eq!(
        broker.exchange("new", None).unwrap().kind(),
        ExchangeKind::Topic
    );
    let conflict = broker.exchange_with_alternate("e", None, "other");
    assert_eq!(
        conflict.map(|_| ()).unwrap_err().kind(),
        ErrorKind::QueueConflict
    );
    let mut binding = Binding::new((&q).into(), "");
    binding.headers.insert("h".to_owned(), HeaderValue::Int(1));
    binding.matching = Match::Any;
    e.bind_as(binding.clone()).unwrap();
    let published = |key: &str| e.publish(key, "x", false).unwrap();
    assert_eq!(published("k"), 0);
    rest.bind(&q, "").unwrap();
    assert_eq!(published("k"), 1, "through the alternate");
    rest.unbind(&q, "").unwrap();
    assert_eq!(published("k"), 0);
    rest.bind(&e, "").unwrap();
    e.unbind_as(binding.clone()).unwrap();
    let again = e.unbind_as(binding).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    rest.delete().unwrap();
    assert_eq!(rest.unbind(&e, "").unwrap_err().kind(), ErrorKind::NotFound);
    let default = broker.exchange("", None).unwrap();
    assert_eq!(default.publish("q", "y", true).unwrap(), 1);
    let refused = default.delete().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}
