//! Proves what no scenario can show, because a home has one session and no look at memory: who owns an exclusive queue, and that nothing stays behind of ids and queues
//! that are gone. Commands go straight to the engine.

use ferrymq_core::engine::{Answer, Command, Config, Engine, Event, Output, Reply, Wait};
use ferrymq_core::model::{
    BrokerStats, Error, ErrorKind, Outgoing, Properties, QueueId, QueueOptions, SessionId, Span,
    Time,
};

struct Run(Engine, Time);

impl Run {
    fn new() -> Run {
        Run(Engine::memory(Config::default()), Time(0))
    }

    fn handle(&mut self, command: Command) -> Result<Reply, Error> {
        match self.0.handle(self.1, command) {
            Answer::Done(result) => result,
            Answer::Pending(call) => panic!("{call:?} waits"),
        }
    }

    fn session(&mut self) -> SessionId {
        match self.handle(Command::OpenSession) {
            Ok(Reply::Session(session)) => session,
            other => panic!("{other:?}"),
        }
    }

    fn declare(
        &mut self,
        session: SessionId,
        create: bool,
        options: QueueOptions,
    ) -> Result<QueueId, Error> {
        let name = "q".to_owned();
        let declare = Command::DeclareQueue {
            name,
            options,
            create,
            session,
        };
        match self.handle(declare)? {
            Reply::Queue(queue) => Ok(queue),
            other => panic!("{other:?}"),
        }
    }

    fn produce(&mut self, queue: QueueId, id: &str) -> Result<Reply, Error> {
        let message = Outgoing::new(&b"body"[..]).with_properties(Properties {
            dedup_id: Some(id.into()),
            ..Properties::default()
        });
        let wait = Wait::No;
        self.handle(Command::Produce {
            queue,
            message,
            wait,
        })
    }

    fn stats(&mut self) -> BrokerStats {
        match self.handle(Command::BrokerStats) {
            Ok(Reply::Broker(stats)) => *stats,
            other => panic!("{other:?}"),
        }
    }
}

fn exclusive() -> QueueOptions {
    QueueOptions {
        exclusive: Some(true),
        ..QueueOptions::default()
    }
}

#[test]
fn an_exclusive_queue_is_its_sessions_own_and_goes_with_it() {
    let mut run = Run::new();
    let (owner, other) = (run.session(), run.session());
    let queue = run.declare(owner, true, exclusive()).expect("declared");
    for (create, options) in [
        (true, exclusive()),
        (true, QueueOptions::default()),
        (false, QueueOptions::default()),
    ] {
        let refused = run.declare(other, create, options).expect_err("not his");
        assert_eq!(refused.kind(), ErrorKind::QueueConflict);
        assert!(
            refused.message().contains("exclusive"),
            "{}",
            refused.message()
        );
    }
    assert_eq!(
        run.declare(owner, false, QueueOptions::default()),
        Ok(queue)
    );
    let waits = Command::Consume {
        queue,
        session: other,
        auto_ack: false,
        wait: Wait::Forever,
    };
    let Answer::Pending(call) = run.0.handle(Time(0), waits) else {
        panic!("there is no message");
    };
    run.handle(Command::CloseSession { session: owner })
        .expect("closed");
    let Some(Output::Event(Event::Resolved {
        call: told,
        result: Err(error),
    })) = run.0.poll()
    else {
        panic!("who waits is told");
    };
    assert_eq!((told, error.kind()), (call, ErrorKind::NotFound));
    let gone = run.declare(other, false, QueueOptions::default());
    assert_eq!(gone.map_err(|e| e.kind()), Err(ErrorKind::NotFound));
    run.declare(other, true, exclusive())
        .expect("the name is free");
    let closed = run.declare(owner, true, exclusive()).map(|_| ());
    assert_eq!(closed.map_err(|e| e.kind()), Err(ErrorKind::QueueConflict));
}

#[test]
fn a_session_that_has_ended_owns_nothing_new() {
    let mut run = Run::new();
    let session = run.session();
    run.handle(Command::CloseSession { session })
        .expect("closed");
    let refused = run.declare(session, true, exclusive());
    assert_eq!(refused.map_err(|e| e.kind()), Err(ErrorKind::Closed));
    assert_eq!(run.stats().queues, 0);
}

#[test]
fn ids_are_counted_while_they_are_remembered_and_given_back_after() {
    let mut run = Run::new();
    let session = run.session();
    let options = QueueOptions {
        dedup_window: Some(Some(Span(1000))),
        ..QueueOptions::default()
    };
    let queue = run.declare(session, true, options.clone()).expect("new");
    for n in 0..100 {
        run.1 = Time(n);
        run.produce(queue, &format!("id-{n}")).expect("room");
    }
    run.handle(Command::Purge { queue }).expect("purged");
    let ids = run.stats().memory;
    assert!((100 * 104..100 * 108).contains(&ids), "{ids} bytes");
    run.1 = Time(1050);
    assert!(run.stats().memory < ids, "half of the windows are over");
    run.1 = Time(1099 + 63);
    assert_eq!(run.stats().memory, 0, "all of them are over");
    assert_eq!(run.0.deadline(), Time::NEVER, "and nothing more falls due");
    run.produce(queue, "x").expect("room");
    run.handle(Command::DeleteQueue { queue }).expect("deleted");
    assert_eq!(run.stats().memory, 0, "a deleted queue remembers nothing");
    let queue = run.declare(session, true, options).expect("new");
    run.produce(queue, "y").expect("room");
    let none = QueueOptions {
        dedup_window: Some(None),
        ..QueueOptions::default()
    };
    let alter = Command::AlterQueue {
        queue,
        options: none,
    };
    run.handle(alter).expect("altered");
    run.handle(Command::Purge { queue }).expect("purged");
    assert_eq!(run.stats().memory, 0, "nor does one without a window");
}
