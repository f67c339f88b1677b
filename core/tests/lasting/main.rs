//! Proves that a command of a lasting session that is sent again is done once and gets its first answer: within a life, while it still waits, after a kill and after a power cut; and that
//! what is kept for that is bounded in number, in time and in memory.

mod random;
mod world;

use ferrymq_core::engine::{Command, Operation, Reply, Wait};
use ferrymq_core::model::limits::{LASTING_SESSIONS_MAX, SESSION_IDLE_MS, SESSION_OUTCOMES_MAX};
use ferrymq_core::model::{
    Durability, ErrorKind, Outgoing, Overflow, QueueId, QueueOptions, SessionId, SessionName, Span,
    Time, Token,
};

use world::{SESSION, World, consume, produce, produce_as, produced, token};

fn begun(segment_bytes: u64) -> World {
    let mut world = World::new(segment_bytes);
    world.begin(SESSION);
    world
}

fn of_one() -> QueueOptions {
    QueueOptions {
        capacity: Some(Some(1)),
        overflow: Some(Overflow::Block),
        ..QueueOptions::default()
    }
}

#[test]
fn sent_again_it_is_done_once_and_answered_as_the_first_time() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let first = world.done(1, 0, produce(queue, "a"));
    assert_eq!(world.done(1, 0, produce(queue, "a")), first);
    let (id, _) = (produced(&first), world.kill());
    assert_eq!(produced(&world.done(1, 0, produce(queue, "a"))), id);
    world.power_cut();
    assert_eq!(produced(&world.done(1, 0, produce(queue, "a"))), id);
    assert_eq!(world.bodies(queue), ["a"]);
    assert_eq!(
        world.refused(1, 1, produce(queue, "a")),
        ErrorKind::InvalidArgument
    );
}

/// A command of every kind whose answer the log keeps. `stale` names a lease that is over, `held` one that lasts.
fn of_every_kind(queue: QueueId, session: SessionId, stale: Token, held: Token) -> Vec<Command> {
    let message = || Outgoing::new(&b"b"[..]);
    let many = vec![message(), message()];
    let operations = vec![
        Operation::Produce {
            queue,
            message: message(),
        },
        Operation::Ack { token: held },
    ];
    vec![
        produce(queue, "a"),
        Command::ProduceMany {
            queue,
            messages: many,
            wait: Wait::No,
        },
        Command::Transaction { operations },
        Command::AckMany {
            tokens: vec![stale],
        },
        Command::DeclareQueue {
            name: "new".to_owned(),
            options: QueueOptions::default(),
            create: true,
            session,
        },
        Command::DeclareExchange {
            name: "e".to_owned(),
            kind: None,
            alternate: None,
            create: true,
        },
        Command::Purge { queue },
        Command::AlterQueue {
            queue,
            options: QueueOptions::default(),
        },
    ]
}

#[test]
fn every_kind_of_answer_comes_again_after_a_crash() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let session = world.session();
    for body in ["x", "y"] {
        world.plain(produce(queue, body)).expect("room");
    }
    let stale = token(&world.plain(consume(queue, session)));
    let ack = Command::Ack {
        token: stale,
        durable: true,
    };
    world.plain(ack).expect("held");
    let held = token(&world.plain(consume(queue, session)));
    let commands = of_every_kind(queue, session, stale, held);
    let send = |world: &mut World| -> Vec<Reply> {
        let numbered = (1..).zip(commands.clone());
        let sent = numbered.map(|(number, command)| world.done(number, 0, command));
        sent.map(|result| result.expect("it is done")).collect()
    };
    let first = send(&mut world);
    assert_eq!(send(&mut world), first);
    world.power_cut();
    assert_eq!(send(&mut world), first);
    world.kill();
    assert_eq!(send(&mut world), first);
    assert_eq!(
        world.bodies(queue),
        [""; 0],
        "it was purged, nothing came since"
    );
}

#[test]
fn what_power_took_back_is_done_anew_and_once() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let (_, told) = world.hand_in(SESSION, 1, 0, produce(queue, "a"));
    assert_eq!(told, None, "it waits for its sync");
    let (_, again) = world.hand_in(SESSION, 1, 0, produce(queue, "a"));
    assert_eq!(
        again, None,
        "the second is as safe as the first was asked to be"
    );
    world.power_cut();
    assert_eq!(world.bodies(queue), [""; 0]);
    let first = world.done(1, 0, produce(queue, "a"));
    assert_eq!(world.done(1, 0, produce(queue, "a")), first);
    assert_eq!(world.bodies(queue), ["a"]);
}

#[test]
fn in_memory_only_neither_the_message_nor_its_outcome_outlives_the_process() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let command = produce_as(queue, "a", Durability::Memory);
    let first = world.done(1, 0, command.clone());
    assert_eq!(world.done(1, 0, command.clone()), first);
    assert_eq!(world.bodies(queue), ["a"]);
    world.kill();
    assert_eq!(world.bodies(queue), [""; 0]);
    world.done(1, 0, command).expect("done anew");
    assert_eq!(world.bodies(queue), ["a"]);
}

#[test]
fn an_ack_whose_answer_was_lost_is_no_lost_lease() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let session = world.session();
    world.plain(produce(queue, "a")).expect("room");
    let token = token(&world.plain(consume(queue, session)));
    let ack = Command::Ack {
        token,
        durable: false,
    };
    assert_eq!(world.done(1, 0, ack.clone()), Ok(Reply::Done));
    world.kill();
    assert_eq!(world.done(1, 0, ack.clone()), Ok(Reply::Done));
    assert_eq!(world.refused(2, 1, ack), ErrorKind::LeaseLost);
}

#[test]
fn a_refusal_is_not_kept() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions {
        overflow: None,
        ..of_one()
    });
    world.plain(produce(queue, "a")).expect("room");
    assert_eq!(
        world.refused(1, 0, produce(queue, "b")),
        ErrorKind::QueueFull
    );
    world.plain(Command::Purge { queue }).expect("there");
    world.done(2, 0, produce(queue, "c")).expect("room");
    world.plain(Command::Purge { queue }).expect("there");
    world.done(1, 0, produce(queue, "b")).expect("tried again");
    world.kill();
    world
        .done(1, 0, produce(queue, "b"))
        .expect("answered again");
    assert_eq!(world.bodies(queue), ["b"]);
}

#[test]
fn one_that_waits_is_joined_and_all_get_its_answer() {
    let mut world = begun(4096);
    let queue = world.queue(of_one());
    world.plain(produce(queue, "a")).expect("room");
    let waits = |world: &mut World| {
        world
            .hand_in(SESSION, 1, 0, produce(queue, "b"))
            .0
            .expect("no room")
    };
    let calls = [waits(&mut world), waits(&mut world), waits(&mut world)];
    assert_eq!(world.stats().waiting, 3);
    world.plain(Command::Purge { queue }).expect("there");
    world.sync();
    let told = calls.map(|call| world.resolved[&call].clone());
    assert_eq!(told[0], world.done(1, 0, produce(queue, "b")));
    assert_eq!([&told[0], &told[0]], [&told[1], &told[2]]);
    assert_eq!(world.bodies(queue), ["b"]);
    assert_eq!(world.stats().waiting, 0);
    world.power_cut();
    assert_eq!(told[0], world.done(1, 0, produce(queue, "b")));
    assert_eq!(world.bodies(queue), ["b"]);
}

#[test]
fn who_gives_up_leaves_it_to_those_who_still_wait() {
    let mut world = begun(4096);
    let queue = world.queue(of_one());
    let full = |world: &mut World| world.plain(produce(queue, "a")).expect("room");
    full(&mut world);
    let waits = |world: &mut World| {
        world
            .hand_in(SESSION, 1, 0, produce(queue, "b"))
            .0
            .expect("no room")
    };
    let (first, second) = (waits(&mut world), waits(&mut world));
    let cancel = |world: &mut World, call| world.plain(Command::Cancel { call }).expect("always");
    cancel(&mut world, first);
    world.plain(Command::Purge { queue }).expect("there");
    world.sync();
    assert_eq!(world.resolved.get(&first), None, "it was given up");
    produced(&world.resolved[&second]);
    assert_eq!(world.bodies(queue), ["b"]);

    world.plain(Command::Purge { queue }).expect("there");
    full(&mut world);
    let waits = |world: &mut World| {
        world
            .hand_in(SESSION, 2, 1, produce(queue, "c"))
            .0
            .expect("no room")
    };
    let (first, second) = (waits(&mut world), waits(&mut world));
    cancel(&mut world, second);
    cancel(&mut world, first);
    world.plain(Command::Purge { queue }).expect("there");
    assert_eq!(
        world.bodies(queue),
        [""; 0],
        "nobody waited for it any more"
    );
    assert_eq!(world.stats().waiting, 0);
    world.done(2, 1, produce(queue, "c")).expect("done anew");
}

#[test]
fn who_waits_together_is_refused_together() {
    let mut world = begun(4096);
    let queue = world.queue(of_one());
    world.plain(produce(queue, "a")).expect("room");
    let calls = [(), ()].map(|()| {
        world
            .hand_in(SESSION, 1, 0, produce(queue, "b"))
            .0
            .expect("no room")
    });
    world.plain(Command::DeleteQueue { queue }).expect("there");
    for call in calls {
        let refused = world.resolved[&call]
            .clone()
            .expect_err("the queue is gone");
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_whatever_they_waited_for_before() {
    let mut world = begun(4096);
    let queue = world.queue(of_one());
    world.plain(produce(queue, "a")).expect("room");
    world.resolved.clear();
    let mut calls: Vec<_> = (0..2)
        .filter_map(|_| world.hand_in(SESSION, 1, 0, produce(queue, "b")).0)
        .collect();
    let purge = world
        .engine
        .handle(Time(world.now), Command::Purge { queue });
    calls.extend(world.take(purge).0);
    assert_eq!(
        (calls.len(), world.resolved.len()),
        (3, 0),
        "room came, and now all wait for the sync"
    );
    world.end_syncs(false);
    for call in calls {
        let error = world.resolved[&call]
            .clone()
            .expect_err("nothing is confirmed");
        assert_eq!(error.kind(), ErrorKind::Indeterminate);
    }
}

#[test]
fn a_consume_sent_again_hands_out_no_second_message() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions {
        lease: Some(Span(1_000)),
        ..QueueOptions::default()
    });
    let session = world.session();
    for body in ["a", "b"] {
        world.plain(produce(queue, body)).expect("room");
    }
    let first = world.done(1, 0, consume(queue, session));
    world.pass(500);
    assert_eq!(
        world.done(1, 0, consume(queue, session)),
        first,
        "the lease included"
    );
    assert_eq!(world.bodies(queue), ["b"]);
    // When the lease is over the message is back, and consuming it anew is counted.
    world.pass(600);
    let again = world.done(1, 0, consume(queue, session)).expect("open");
    let Reply::Delivery(Some(again)) = again else {
        panic!("a delivery, not {again:?}");
    };
    assert_eq!(
        (&*again.message.body, again.message.attempt),
        (&b"a"[..], 2)
    );
    // In the next life all leases are over.
    world.kill();
    let session = world.session();
    token(&world.done(1, 0, consume(queue, session)));
    assert_eq!(world.bodies(queue), ["b"]);
}

#[test]
fn what_was_settled_by_being_handed_over_is_not_replaced_in_silence() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let session = world.session();
    for body in ["a", "b"] {
        world.plain(produce(queue, body)).expect("room");
    }
    let take = |auto_ack| Command::ConsumeMany {
        queue,
        session,
        max: 1,
        auto_ack,
        wait: Wait::No,
    };
    world.done(1, 0, take(true)).expect("a message");
    assert_eq!(world.refused(1, 0, take(true)), ErrorKind::Indeterminate);
    assert_eq!(world.bodies(queue), ["b"]);
    let first = world.done(2, 1, take(false));
    assert_eq!(world.done(2, 1, take(false)), first);
    assert_eq!(world.bodies(queue), [""; 0]);
}

#[test]
fn a_consume_that_waits_is_joined() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let session = world.session();
    let waits = Command::Consume {
        queue,
        session,
        auto_ack: false,
        wait: Wait::Until(Time(world.now + 100)),
    };
    let calls = [(), ()].map(|()| {
        world
            .hand_in(SESSION, 1, 0, waits.clone())
            .0
            .expect("empty")
    });
    world.pass(100);
    for call in calls {
        assert_eq!(world.resolved[&call], Ok(Reply::Delivery(None)));
    }
    let waits = Command::Consume {
        queue,
        session,
        auto_ack: false,
        wait: Wait::Forever,
    };
    let calls = [(), ()].map(|()| {
        world
            .hand_in(SESSION, 1, 0, waits.clone())
            .0
            .expect("empty")
    });
    for body in ["a", "b"] {
        world.plain(produce(queue, body)).expect("room");
    }
    assert_eq!(
        token(&world.resolved[&calls[0]]),
        token(&world.resolved[&calls[1]])
    );
    assert_eq!(world.bodies(queue), ["b"]);
}

#[test]
fn numbers_are_above_what_was_seen_and_within_the_window() {
    let mut world = begun(64 * 1024);
    let queue = world.queue(QueueOptions::default());
    let peek = || Command::Size { queue };
    for (number, seen) in [
        (0, 0),
        (SESSION_OUTCOMES_MAX + 1, 0),
        (5, 5),
        (5, 7),
        (1, u64::MAX),
        (u64::MAX, 0),
    ] {
        assert_eq!(
            world.refused(number, seen, peek()),
            ErrorKind::InvalidArgument,
            "{number}, seen {seen}"
        );
    }
    for number in 1..=SESSION_OUTCOMES_MAX {
        world.done(number, 0, peek()).expect("in order");
    }
    let next = SESSION_OUTCOMES_MAX + 1;
    assert_eq!(world.refused(next, 0, peek()), ErrorKind::InvalidArgument);
    world.done(next, 1, peek()).expect("one was seen");
    let heard = world
        .engine
        .hear_lasting_session(Time(world.now), SESSION, u64::MAX);
    let refused = world
        .take(heard)
        .1
        .expect("at once")
        .expect_err("none is so high");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        world.refused(1 << 62, (1 << 62) - 1, peek()),
        ErrorKind::InvalidArgument
    );
    // What a session says that it has seen was there, though power may have taken it.
    world
        .done(2_001, 2_000, produce(queue, "a"))
        .expect("the next after what was seen");
    world.power_cut();
    assert_eq!(world.refused(2_000, 0, peek()), ErrorKind::InvalidArgument);
}

#[test]
fn what_was_seen_costs_nothing_any_more() {
    let mut world = begun(64 * 1024);
    let queue = world.queue(QueueOptions::default());
    world.done(1, 0, Command::Size { queue }).expect("there");
    let empty = world.stats().memory;
    let messages = vec![Outgoing::new(&b"a"[..]); 100];
    let many = Command::ProduceMany {
        queue,
        messages,
        wait: Wait::No,
    };
    world.done(2, 0, many).expect("room");
    for number in 3..50 {
        world
            .done(number, 0, Command::Purge { queue })
            .expect("there");
    }
    let kept = world.stats().memory;
    assert!(kept > empty + 100 * 8 + 48 * 100, "{kept} bytes");
    world.power_cut();
    assert_eq!(world.stats().memory, kept, "the same after an opening");
    let heard = world
        .engine
        .hear_lasting_session(Time(world.now), SESSION, 49);
    assert_eq!(world.take(heard).1, Some(Ok(Reply::Done)));
    assert_eq!(world.stats().memory, empty);
    let ended = world.engine.end_lasting_session(Time(world.now), SESSION);
    world.take(ended);
    assert_eq!(world.stats().memory, 0);
}

#[test]
fn a_session_is_forgotten_an_hour_after_it_was_heard_of() {
    let mut world = begun(4096);
    let queue = world.queue(of_one());
    world.done(1, 0, produce(queue, "a")).expect("room");
    world.pass(SESSION_IDLE_MS.0 - 1);
    world.done(1, 0, produce(queue, "a")).expect("heard of");
    world.pass(SESSION_IDLE_MS.0 - 1);
    world.kill();
    // An opening gives another hour: nobody could be heard of before.
    world.pass(SESSION_IDLE_MS.0 - 1);
    world
        .hand_in(SESSION, 2, 1, produce(queue, "b"))
        .0
        .expect("no room");
    // One that waits counts as heard of.
    world.pass(3 * SESSION_IDLE_MS.0);
    world.plain(Command::Purge { queue }).expect("there");
    world
        .done(2, 1, produce(queue, "b"))
        .expect("answered before");
    world.pass(SESSION_IDLE_MS.0);
    for number in [1, 2, 3] {
        let refused = world.refused(number, 1, produce(queue, "b"));
        assert_eq!(refused, ErrorKind::Indeterminate);
    }
    world.kill();
    assert_eq!(
        world.refused(3, 1, produce(queue, "b")),
        ErrorKind::Indeterminate
    );
    assert_eq!(world.bodies(queue), ["b"]);
}

#[test]
fn one_session_too_many_lets_go_the_one_that_was_silent_for_longest() {
    let mut world = World::new(64 * 1024);
    let name = |nth: usize| SessionName((nth as u128).to_be_bytes());
    let has = |world: &mut World, nth| {
        let heard = world
            .engine
            .hear_lasting_session(Time(world.now), name(nth), 0);
        world.take(heard).1.expect("at once").is_ok()
    };
    for nth in 0..LASTING_SESSIONS_MAX {
        world.begin(name(nth));
        world.pass(1);
    }
    assert!(has(&mut world, 0));
    world.pass(1);
    world.begin(name(LASTING_SESSIONS_MAX));
    let expect = |world: &mut World| {
        assert!(has(world, 0) && has(world, 2) && has(world, LASTING_SESSIONS_MAX));
        assert!(!has(world, 1));
    };
    expect(&mut world);
    world.kill();
    expect(&mut world);
}

#[test]
fn outcomes_outlive_the_segments_that_they_were_written_to() {
    let mut world = begun(4096);
    let queue = world.queue(QueueOptions::default());
    let first = world.done(1, 0, produce(queue, "a"));
    let session = world.session();
    for _ in 0..200 {
        let token = token(&world.plain(consume(queue, session)));
        world
            .plain(Command::Ack {
                token,
                durable: true,
            })
            .expect("held");
        let filler = "x".repeat(300);
        world.plain(produce(queue, &filler)).expect("room");
    }
    world.power_cut();
    assert_eq!(world.done(1, 0, produce(queue, "a")), first);
    assert_eq!(world.messages(queue).len(), 1);
}

#[test]
fn a_session_that_was_not_begun_is_told_so() {
    let mut world = World::new(4096);
    let queue = world.queue(QueueOptions::default());
    assert_eq!(
        world.refused(1, 0, produce(queue, "a")),
        ErrorKind::Indeterminate
    );
    assert_eq!(world.bodies(queue), [""; 0]);
}
