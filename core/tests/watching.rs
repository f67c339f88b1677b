//! What a broker tells of itself: notices for a log, alarms, its numbers as text. The clock is moved by hand; each test waits for a call that must come, and what must not come would come before it.

// core/clippy.toml bans clocks, locks and threads from the engine; the driver is what has them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ferrymq_core::driver::{Alarm, Alert, Broker, Condition, Options, Storage};
use ferrymq_core::engine::{Command, Notice, Noticed};
use ferrymq_core::model::{
    Departure, ErrorKind, ExchangeKind, Outgoing, Overflow, QueueOptions, Result, Span, Time,
};

/// A hang is the failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn notices(broker: &Broker) -> Receiver<Notice> {
    let (tell, told) = channel();
    broker.on_notice(move |notice| {
        let _ = tell.send(notice.clone());
    });
    told
}

fn told(notices: &Receiver<Notice>) -> (String, Noticed, u64) {
    let notice = notices.recv_timeout(PATIENCE).expect("it is told");
    (notice.queue, notice.what, notice.count)
}

fn alarm(broker: &Broker, alarm: Alarm) -> Receiver<Alert> {
    let (tell, told) = channel();
    broker
        .alarm(alarm, move |alert| {
            let _ = tell.send(alert.clone());
        })
        .expect("it has a condition");
    told
}

fn next(alerts: &Receiver<Alert>) -> (String, Condition, u64, u64) {
    let alert = alerts.recv_timeout(PATIENCE).expect("the alarm calls");
    (alert.queue, alert.condition, alert.value, alert.limit)
}

#[test]
fn what_went_wrong_is_noticed_once_and_counted() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let notices = notices(&broker);
    let options = QueueOptions {
        capacity: Some(Some(3)),
        overflow: Some(Overflow::Reject),
        lease: Some(Span(1000)),
        ..QueueOptions::default()
    };
    let queue = broker.queue("orders", options)?;
    for _ in 0..3 {
        queue.produce("one")?;
    }
    queue.produce("too many").expect_err("it is full");
    assert_eq!(told(&notices), ("orders".into(), Noticed::Full, 1));
    let doubled = broker.exchange("all", ExchangeKind::Fanout)?;
    doubled.bind(&queue, "")?;
    doubled
        .publish("", "too many", false)
        .expect_err("it is full");
    // What happens before the next second is told together, when the broker is closed at the latest.
    for delivery in queue.consume_many(2, None)? {
        delivery.reject(Some("secret of the customer"))?;
    }
    queue.consume(None)?.expect("the third");
    testing.advance_to(Time(1000));
    broker.close();
    assert_eq!(told(&notices), ("orders".into(), Noticed::Full, 1));
    let dead = Noticed::DeadLettered(Departure::Rejected);
    assert_eq!(told(&notices), ("orders".into(), dead, 2));
    assert_eq!(told(&notices), ("orders".into(), Noticed::LeaseEnded, 1));
    Ok(())
}

#[test]
fn closing_waits_for_what_is_being_told_unless_it_is_told_to_close() -> Result<()> {
    let broker = Broker::open(Options::default())?;
    let (tell, told) = channel();
    let (go_on, may) = channel::<()>();
    let may = std::sync::Mutex::new(may);
    let inside = broker.clone();
    broker.on_notice(move |_| {
        let _ = tell.send("begun");
        let _ = may.lock().map(|may| may.recv_timeout(PATIENCE));
        // A sink may close the broker: nobody waits for himself.
        inside.close();
        let _ = tell.send("told");
    });
    let options = QueueOptions {
        capacity: Some(Some(1)),
        ..QueueOptions::default()
    };
    let queue = broker.queue("q", options)?;
    queue.produce("one")?;
    queue.produce("too many").expect_err("it is full");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"));
    let _ = go_on.send(());
    broker.close();
    assert_eq!(told.try_recv(), Ok("told"));
    Ok(())
}

#[test]
fn a_million_expired_messages_are_one_notice() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let told_first = notices(&broker);
    let options = QueueOptions {
        dead_letter: Some(ferrymq_core::model::DeadLetter::Queue("late".into())),
        ttl: Some(Some(Span(10))),
        ..QueueOptions::default()
    };
    let queue = broker.queue("q", options)?;
    for _ in 0..10 {
        queue.produce_many(vec![Outgoing::new(&b""[..]); 1000])?;
    }
    testing.advance_to(Time(10));
    broker.close();
    let mut count = 0;
    while count < 10_000 {
        let (name, what, more) = told(&told_first);
        assert_eq!(
            (name.as_str(), what),
            ("q", Noticed::DeadLettered(Departure::Expired))
        );
        count += more;
    }
    assert_eq!(count, 10_000);
    Ok(())
}

#[test]
fn a_failed_sync_is_noticed() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Manual)?;
    let notices = notices(&broker);
    let declare = Command::DeclareQueue {
        name: "q".into(),
        options: QueueOptions::default(),
        create: true,
        session: broker.session(),
    };
    let waits = broker.start(declare);
    testing.sync_fails();
    drop(waits);
    assert_eq!(told(&notices), (String::new(), Noticed::StoreFailed, 1));
    Ok(())
}

#[test]
fn an_alarm_calls_once_until_its_condition_was_false() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let above = Alarm {
        queue: Some("q".into()),
        above: Some(1),
        ..Alarm::default()
    };
    let alerts = alarm(&broker, above);
    let queue = broker.queue("q", QueueOptions::default())?;
    let others = broker.queue("others", QueueOptions::default())?;
    others.produce_many(vec![Outgoing::new(&b""[..]); 5])?;
    queue.produce_many(vec![Outgoing::new(&b""[..]); 2])?;
    testing.advance_to(Time(1));
    assert_eq!(next(&alerts), ("q".into(), Condition::Above, 2, 1));
    queue.produce("three")?;
    testing.advance_to(Time(2));
    queue.purge()?;
    testing.advance_to(Time(3));
    queue.produce_many(vec![Outgoing::new(&b""[..]); 4])?;
    testing.advance_to(Time(4));
    // Not the three: it had not been false in between.
    assert_eq!(next(&alerts), ("q".into(), Condition::Above, 4, 1));
    Ok(())
}

#[test]
fn age_and_dead_letters_ring_for_every_queue_by_itself() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let queue = broker.queue("a", QueueOptions::default())?;
    queue.produce("dead before the alarm was set")?;
    queue.consume(None)?.expect("one").reject(None)?;
    let both = Alarm {
        older_than: Some(Span(500)),
        dead_letters: true,
        ..Alarm::default()
    };
    let alerts = alarm(&broker, both);
    broker.queue("a.dead", QueueOptions::default())?.purge()?;
    let other = broker.queue("b", QueueOptions::default())?;
    queue.produce("old")?;
    testing.advance_to(Time(500));
    other.produce("dead")?;
    other.consume(None)?.expect("one").reject(None)?;
    testing.advance_to(Time(501));
    assert_eq!(next(&alerts), ("a".into(), Condition::OlderThan, 501, 500));
    assert_eq!(next(&alerts), ("b".into(), Condition::DeadLetters, 1, 0));
    Ok(())
}

#[test]
fn a_cancelled_alarm_is_silent_and_one_that_is_slow_holds_nobody_up() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let queue = broker.queue("q", QueueOptions::default())?;
    let (tell, told) = channel();
    let (go_on, may) = channel::<()>();
    let may = std::sync::Mutex::new(may);
    let above = Alarm {
        above: Some(0),
        ..Alarm::default()
    };
    let slow = broker.alarm(above.clone(), move |alert| {
        let _ = tell.send(alert.value);
        let _ = may.lock().map(|may| may.recv_timeout(PATIENCE));
    })?;
    queue.produce("one")?;
    testing.advance_to(Time(1));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    // The callback waits; the broker does not.
    let second = alarm(&broker, above);
    queue.produce("two")?;
    testing.advance_to(Time(2));
    slow.cancel();
    slow.cancel();
    queue.purge()?;
    testing.advance_to(Time(3));
    queue.produce("three")?;
    testing.advance_to(Time(4));
    let _ = go_on.send(());
    assert_eq!(next(&second).2, 2);
    assert_eq!(next(&second).2, 1);
    assert!(told.try_recv().is_err(), "it was cancelled");
    Ok(())
}

#[test]
fn an_alarm_needs_a_condition_and_an_open_broker() -> Result<()> {
    let broker = Broker::open(Options::default())?;
    let refused = broker.alarm(Alarm::default(), |_| {});
    assert_eq!(
        refused.map(|_| ()).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    broker.close();
    let above = Alarm {
        above: Some(0),
        ..Alarm::default()
    };
    let refused = broker.alarm(above, |_| {});
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(broker.metrics().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

#[test]
fn with_the_real_clock_nobody_has_to_call() -> Result<()> {
    let broker = Broker::open(Options::default())?;
    let queue = broker.queue("q", QueueOptions::default())?;
    let older = Alarm {
        older_than: Some(Span(20)),
        ..Alarm::default()
    };
    let alerts = alarm(&broker, older);
    queue.produce("it grows old by itself")?;
    assert_eq!(next(&alerts).1, Condition::OlderThan);
    Ok(())
}

#[test]
fn the_numbers_as_text() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let name = "a \"b\"\\c";
    let queue = broker.queue(name, QueueOptions::default())?;
    queue.produce("body")?;
    testing.advance_to(Time(1250));
    let text = broker.metrics()?;
    let label = r#"{queue="a \"b\"\\c"}"#;
    for line in [
        "# TYPE ferrymq_queues gauge\nferrymq_queues 1\n".to_owned(),
        format!("# TYPE ferrymq_queue_ready gauge\nferrymq_queue_ready{label} 1\n"),
        format!(
            "# TYPE ferrymq_queue_produced_total counter\nferrymq_queue_produced_total{label} 1\n"
        ),
        format!("ferrymq_queue_oldest_age_seconds{label} 1.250\n"),
        format!("ferrymq_queue_body_bytes{label} 4\n"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    Ok(())
}
