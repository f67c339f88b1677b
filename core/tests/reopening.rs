//! What opening a store does by itself (deaths of what was leased too often, dead letters that found no room) leaves the same state as if it had happened live, however often it is opened.

use ferrymq_core::driver::{Broker, Consumed, Options, Queue, Storage, Testing};
use ferrymq_core::model::{
    DeadLetter, Durability, Outgoing, Properties, QueueOptions, QueueStats, Span,
};

fn broker() -> (Broker, Testing) {
    let options = Options {
        durability: Durability::Written,
        ..Options::default()
    };
    Broker::open_testing(options, Storage::Manual).expect("it opens")
}

fn declare(broker: &Broker, options: QueueOptions) -> Queue {
    let options = QueueOptions {
        dead_letter: Some(DeadLetter::Queue("grave".to_owned())),
        ..options
    };
    broker.queue("q", options).expect("declared")
}

fn produce(queue: &Queue, bodies: &[&str]) {
    for body in bodies {
        queue.produce(*body).expect("there is room");
    }
}

fn take(queue: &Queue) -> Consumed {
    let delivery = queue.consume(Some(Span(0))).expect("open");
    delivery.expect("a message is ready")
}

fn bodies(queue: &Queue) -> Vec<String> {
    let messages = queue.peek(100).expect("open");
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    messages.iter().map(|message| text(&message.body)).collect()
}

#[test]
fn what_dies_while_the_store_is_opened_stands_behind_older_dead_letters() {
    let (broker, testing) = broker();
    let queue = declare(
        &broker,
        QueueOptions {
            max_attempts: Some(Some(1)),
            ..QueueOptions::default()
        },
    );
    produce(&queue, &["leased", "rejected"]);
    let leased = take(&queue);
    take(&queue).reject(None).expect("leased");
    testing.kill();
    testing.reopen().expect("it opens again");
    drop(leased);
    let grave = broker.existing_queue("grave").expect("it was needed");
    assert_eq!(bodies(&grave), ["rejected", "leased"]);
    let ids = grave.peek(2).expect("open");
    assert!(ids[0].id < ids[1].id, "the order is that of acceptance");
}

/// A queue of two whose dead-letter queue is full, with one dead letter that waits for room.
fn with_one_held(ordered_keys: bool) -> (Broker, Testing, Queue) {
    let (broker, testing) = broker();
    let queue = declare(
        &broker,
        QueueOptions {
            capacity: Some(Some(2)),
            ordered_keys: Some(ordered_keys),
            ..QueueOptions::default()
        },
    );
    for body in ["a", "b", "held"] {
        let properties = Properties {
            key: Some("k".to_owned()),
            ..Properties::default()
        };
        let message = Outgoing::new(body.as_bytes()).with_properties(properties);
        queue.produce(message).expect("there is room");
        take(&queue).reject(None).expect("leased");
    }
    (broker, testing, queue)
}

fn numbers(queue: &Queue) -> QueueStats {
    queue.stats().expect("open")
}

#[test]
fn a_held_dead_letter_is_counted_once_however_often_the_store_is_opened() {
    let (_broker, testing, queue) = with_one_held(false);
    let before = numbers(&queue);
    assert_eq!((before.held, before.rejected), (1, 3));
    for _ in 0..3 {
        testing.kill();
        testing.reopen().expect("it opens again");
        assert_eq!(numbers(&queue), before);
    }
}

#[test]
fn a_held_dead_letter_moves_after_the_store_was_opened_when_there_is_room() {
    let (broker, testing, queue) = with_one_held(false);
    let grave = broker.existing_queue("grave").expect("it was needed");
    testing.kill();
    testing.reopen().expect("it opens again");
    take(&grave).ack().expect("leased");
    assert_eq!(numbers(&queue).held, 0);
    assert_eq!(bodies(&grave), ["b", "held"]);
}

#[test]
fn a_held_dead_letter_holds_back_nothing_of_its_key() {
    let (_broker, testing, queue) = with_one_held(true);
    let properties = Properties {
        key: Some("k".to_owned()),
        ..Properties::default()
    };
    let next = Outgoing::new(b"next".as_slice()).with_properties(properties);
    queue.produce(next).expect("there is room");
    assert_eq!(bodies(&queue), ["next"]);
    testing.kill();
    testing.reopen().expect("it opens again");
    assert_eq!(bodies(&queue), ["next"]);
}
