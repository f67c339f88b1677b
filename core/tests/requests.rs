//! Request and reply: each reply finds its request, whoever else waits; nobody waits for ever; nothing is left behind.

// core/clippy.toml bans clocks, locks and threads from the engine; the driver is what has them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ferrymq_core::driver::{Broker, Options, Storage};
use ferrymq_core::engine::{Noticed, Reply};
use ferrymq_core::model::{ErrorKind, Outgoing, Properties, QueueOptions, Result, Span, Time};

fn body(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Delivery(Some(delivery)) => delivery.message.body.to_vec(),
        other => panic!("no reply: {other:?}"),
    }
}

#[test]
fn replies_find_their_requests_among_many_threads() -> Result<()> {
    const THREADS: u32 = 6;
    const EACH: u32 = 500;
    let broker = Broker::open(Options::default())?;
    let queue = broker.queue("squares", QueueOptions::default())?;
    thread::scope(|scope| {
        for _ in 0..2 {
            let queue = queue.clone();
            scope.spawn(move || {
                while let Ok(Some(request)) = queue.consume(None) {
                    let number: u64 = String::from_utf8_lossy(request.body())
                        .parse()
                        .expect("a number");
                    // Acked first: who has the last reply closes the broker.
                    request.ack().expect("it is ours");
                    request
                        .reply(&*(number * number).to_string())
                        .expect("who asked waits");
                }
            });
        }
        let askers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let queue = queue.clone();
                scope.spawn(move || {
                    for n in 0..EACH {
                        let number = u64::from(thread * EACH + n);
                        let reply = queue
                            .request(&*number.to_string(), Some(Span(60_000)))
                            .expect("it is answered");
                        assert_eq!(&*reply.body, (number * number).to_string().as_bytes());
                    }
                })
            })
            .collect();
        for asker in askers {
            asker.join().expect("it asserts");
        }
        broker.close();
    });
    Ok(())
}

#[test]
fn out_of_order_late_and_foreign_replies() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let (tell, told) = channel();
    broker.on_notice(move |notice| {
        let _ = tell.send((notice.what, notice.count));
    });
    let queue = broker.queue("q", QueueOptions::default())?;
    let ask = |text: &str, timeout| {
        let (asked, pending) = broker.begin_request(timeout)?;
        queue.produce(asked.on(Outgoing::from(text)))?;
        Ok(pending)
    };
    let mut first = ask("first", Some(Span(100)))?;
    let mut second = ask("second", None)?;
    let requests = queue.consume_many(2, None)?;
    let reply_to = requests[0]
        .message()
        .properties
        .as_ref()
        .and_then(|p| p.reply_to.clone());
    requests[1].reply("to the second")?;
    assert_eq!(
        second.try_take().map(|reply| reply.map(body)),
        Some(Ok(b"to the second".to_vec()))
    );
    assert!(first.try_take().is_none());
    testing.advance_to(Time(99));
    assert!(first.try_take().is_none());
    testing.advance_to(Time(100));
    let late = first.try_take().expect("the time is over").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    // Too late, twice, and from nobody: dropped, and the next request is answered all the same.
    requests[0].reply("late")?;
    requests[1].reply("again")?;
    let replies = broker.existing_queue(&reply_to.expect("a request names it"))?;
    replies.produce("without a correlation id")?;
    let mut third = ask("third", None)?;
    queue
        .consume(None)?
        .expect("the third")
        .reply("to the third")?;
    assert_eq!(
        third.try_take().map(|reply| reply.map(body)),
        Some(Ok(b"to the third".to_vec()))
    );
    assert_eq!(
        replies.stats()?.size,
        0,
        "nothing is left on the queue of replies"
    );
    broker.close();
    let mut strays = 0;
    while let Ok((what, count)) = told.recv_timeout(Duration::from_secs(20)) {
        assert_eq!(what, Noticed::Stray);
        strays += count;
        if strays == 3 {
            break;
        }
    }
    assert_eq!(strays, 3);
    Ok(())
}

#[test]
fn a_request_lives_as_long_as_somebody_waits() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let queue = broker.queue("q", QueueOptions::default())?;
    let (asked, pending) = broker.begin_request(Some(Span(100)))?;
    queue.produce(asked.on(Outgoing::from("nobody serves")))?;
    testing.advance_to(Time(100));
    assert_eq!(queue.stats()?.size, 0, "it has expired");
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    Ok(())
}

#[test]
fn requests_given_up_leave_no_room_taken() -> Result<()> {
    let (broker, _testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    for _ in 0..10_000 {
        drop(broker.begin_request(None)?);
    }
    let (asked, mut pending) = broker.begin_request(None)?;
    let message = asked.on(Outgoing::from("still served"));
    let queue = broker.queue("q", QueueOptions::default())?;
    queue.produce(message)?;
    queue.consume(None)?.expect("the request").reply("yes")?;
    assert_eq!(
        pending.try_take().map(|reply| reply.map(body)),
        Some(Ok(b"yes".to_vec()))
    );
    Ok(())
}

#[test]
fn without_reply_to_there_is_no_reply() -> Result<()> {
    let broker = Broker::open(Options::default())?;
    let queue = broker.queue("q", QueueOptions::default())?;
    queue.produce("a plain message")?;
    let plain = queue.consume(None)?.expect("it is there");
    assert_eq!(
        plain.reply("?").unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    let properties = Properties {
        reply_to: Some("gone".into()),
        ..Properties::default()
    };
    let mut message = Outgoing::from("who asked is gone");
    message.properties = Some(properties.into());
    queue.produce(message)?;
    let asked = queue.consume(None)?.expect("it is there");
    assert_eq!(asked.reply("?").unwrap_err().kind(), ErrorKind::NotFound);
    Ok(())
}

#[test]
fn closing_ends_requests_and_a_deleted_queue_of_replies_is_made_anew() -> Result<()> {
    let (broker, _testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
    let (asked, _given_up) = broker.begin_request(None)?;
    broker.existing_queue(&asked.reply_to)?.delete()?;
    let (asked, pending) = broker.begin_request(None)?;
    broker.existing_queue(&asked.reply_to)?;
    broker.close();
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        broker.begin_request(None).map(|_| ()).unwrap_err().kind(),
        ErrorKind::Closed
    );
    Ok(())
}

#[test]
fn with_a_store_a_request_waits_for_its_own_sync_only() -> Result<()> {
    let (broker, testing) = Broker::open_testing(Options::default(), Storage::Manual)?;
    let (asked, mut pending) = broker.begin_request(None)?;
    testing.sync();
    let requests = broker.existing_queue(&asked.reply_to)?;
    let mut reply = Outgoing::from("yes");
    reply.properties = Some(
        Properties {
            correlation_id: Some(asked.correlation_id),
            ..Properties::default()
        }
        .into(),
    );
    requests.produce(reply)?;
    assert_eq!(
        pending.try_take().map(|reply| reply.map(body)),
        Some(Ok(b"yes".to_vec()))
    );
    Ok(())
}
