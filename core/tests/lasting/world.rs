//! An engine on a disk whose syncs complete when told, and who is asked what.

use std::collections::BTreeMap;

use ferrymq_core::engine::{Answer, Command, Config, Engine, Event, Output, Reply, Wait};
use ferrymq_core::model::{
    BrokerStats, CallId, DeadLetter, Durability, ErrorKind, Message, MessageId, Numbered, Outgoing,
    QueueId, QueueOptions, Result, SessionId, SessionName, Time, Token,
};
use ferrymq_core::testing::ManualDisk;

pub const SESSION: SessionName = SessionName([7; 16]);

pub struct World {
    pub engine: Engine,
    pub disk: ManualDisk,
    pub now: u64,
    pub config: Config,
    /// Answers that came later.
    pub resolved: BTreeMap<CallId, Result<Reply>>,
}

/// What a call was answered so far; `None`: nothing.
pub type Told = Option<Result<Reply>>;

impl World {
    pub fn new(segment_bytes: u64) -> World {
        let config = Config {
            segment_bytes,
            ..Config::default()
        };
        let mut world = World {
            engine: Engine::memory(config),
            disk: ManualDisk::default(),
            now: 1_000,
            config,
            resolved: BTreeMap::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.config.epoch += 1;
        self.resolved.clear();
        self.engine = Engine::open(self.config, Time(self.now));
        self.pump();
        while !self.engine.is_open() {
            assert!(self.disk.syncs_held() > 0, "it comes to a halt");
            self.sync();
        }
    }

    pub fn kill(&mut self) {
        self.disk.kill();
        self.open();
    }

    pub fn power_cut(&mut self) {
        self.disk.power_cut();
        self.open();
    }

    pub fn pump(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Event(Event::Resolved { call, result }) => {
                    let before = self.resolved.insert(call, result);
                    assert_eq!(before, None, "a call is answered once");
                }
                Output::Event(_) => {}
                Output::Io(ticket) => {
                    let id = ticket.id;
                    if let Some(outcome) = self.disk.execute(ticket) {
                        self.engine.io_done(Time(self.now), id, outcome);
                    }
                }
            }
        }
    }

    pub fn end_syncs(&mut self, well: bool) {
        for (id, outcome) in self.disk.complete_syncs(well) {
            self.engine.io_done(Time(self.now), id, outcome);
        }
        self.pump();
    }

    /// Everything is synced.
    pub fn sync(&mut self) {
        self.engine.request_sync(Time(self.now));
        self.pump();
        while self.disk.syncs_held() > 0 {
            self.end_syncs(true);
        }
    }

    pub fn pass(&mut self, span: u64) {
        self.now += span;
        self.engine.advance(Time(self.now));
        self.pump();
    }

    /// The call's number where it waits, and what it was answered.
    pub fn take(&mut self, answer: Answer) -> (Option<CallId>, Told) {
        self.pump();
        match answer {
            Answer::Done(result) => (None, Some(result)),
            Answer::Pending(call) => (Some(call), self.resolved.get(&call).cloned()),
        }
    }

    pub fn begin(&mut self, session: SessionName) {
        let answer = self.engine.begin_lasting_session(Time(self.now), session);
        let (call, _) = self.take(answer);
        self.sync();
        if let Some(call) = call {
            assert_eq!(self.resolved[&call], Ok(Reply::Done));
        }
    }

    pub fn hand_in(
        &mut self,
        session: SessionName,
        number: u64,
        seen: u64,
        command: Command,
    ) -> (Option<CallId>, Told) {
        let numbered = Numbered {
            session,
            number,
            seen,
        };
        let now = Time(self.now);
        let answer = self.engine.handle_numbered(now, numbered, command);
        self.take(answer)
    }

    /// Hands a command of the one session in, syncs, and gives its answer.
    pub fn done(&mut self, number: u64, seen: u64, command: Command) -> Result<Reply> {
        let (call, told) = self.hand_in(SESSION, number, seen, command);
        self.sync();
        told.or_else(|| self.resolved.get(&call?).cloned())
            .expect("it is answered once everything is synced")
    }

    pub fn refused(&mut self, number: u64, seen: u64, command: Command) -> ErrorKind {
        let result = self.done(number, seen, command);
        result.expect_err("it is refused").kind()
    }

    /// A command without a number.
    pub fn plain(&mut self, command: Command) -> Result<Reply> {
        let answer = self.engine.handle(Time(self.now), command);
        let (call, told) = self.take(answer);
        told.unwrap_or_else(|| {
            self.sync();
            self.resolved[&call.expect("it waits")].clone()
        })
    }

    pub fn queue(&mut self, options: QueueOptions) -> QueueId {
        let declare = Command::DeclareQueue {
            name: "q".to_owned(),
            options: QueueOptions {
                dead_letter: Some(DeadLetter::Off),
                ..options
            },
            create: true,
            session: SessionId(1),
        };
        match self.plain(declare) {
            Ok(Reply::Queue(queue)) => queue,
            other => panic!("it is declared, not {other:?}"),
        }
    }

    pub fn session(&mut self) -> SessionId {
        match self.plain(Command::OpenSession) {
            Ok(Reply::Session(session)) => session,
            other => panic!("a session, not {other:?}"),
        }
    }

    pub fn messages(&mut self, queue: QueueId) -> Vec<Message> {
        match self.plain(Command::Peek { queue, max: 10_000 }) {
            Ok(Reply::Messages(messages)) => messages,
            other => panic!("messages, not {other:?}"),
        }
    }

    pub fn bodies(&mut self, queue: QueueId) -> Vec<String> {
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        let messages = self.messages(queue);
        messages.iter().map(|message| text(&message.body)).collect()
    }

    pub fn stats(&mut self) -> BrokerStats {
        match self.plain(Command::BrokerStats) {
            Ok(Reply::Broker(stats)) => *stats,
            other => panic!("statistics, not {other:?}"),
        }
    }
}

pub fn produce(queue: QueueId, body: &str) -> Command {
    produce_as(queue, body, Durability::Durable)
}

pub fn produce_as(queue: QueueId, body: &str, level: Durability) -> Command {
    Command::Produce {
        queue,
        message: Outgoing {
            durability: Some(level),
            ..Outgoing::new(body.as_bytes())
        },
        wait: Wait::Forever,
    }
}

pub fn consume(queue: QueueId, session: SessionId) -> Command {
    Command::Consume {
        queue,
        session,
        auto_ack: false,
        wait: Wait::No,
    }
}

pub fn produced(result: &Result<Reply>) -> MessageId {
    match result {
        Ok(Reply::Produced(id)) => *id,
        other => panic!("it is produced, not {other:?}"),
    }
}

pub fn token(result: &Result<Reply>) -> Token {
    match result {
        Ok(Reply::Delivery(Some(delivery))) => delivery.token.expect("leased"),
        other => panic!("a delivery, not {other:?}"),
    }
}
