//! The hall. Turns commands into answers, events and I/O tickets, by calling the rooms in order: produce, route, store, queue, deliver, settle.
//! Owns: the order of things. May use: every room.
//! Never: a clock, randomness, I/O, threads, a protocol. The same calls with the same arguments give the same results.
//! Invariant: every message is in one state, counted in one count of one queue, until it is settled.

mod administering;
mod at_once;
mod calls;
mod command;
mod consuming;
mod dying;
mod entering;
mod event;
mod journal;
mod lifetime;
mod line;
mod losses;
mod memo;
mod once;
mod pushing;
mod recover;
mod repeated;
mod room;
mod routing;
mod settling;
mod snapshot;
mod timing;
mod transacting;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::deliver::Consumers;
use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::limits::{LEASE_MS_DEFAULT, MEMORY_BYTES_DEFAULT, SEGMENT_BYTES_DEFAULT};
use crate::model::{
    CallId, Durability, Error, ErrorKind, MessageId, QueueId, Result, SessionId, Span, Time,
};
use crate::produce::{Confirms, Watermark};
use crate::reclaim::{Note, Reclaim};
use crate::settle::{InFlight, Randomness};
use crate::store::{Damage, DiskOutcome, Log, Refused, Stored, Table, TicketId};
use crate::topology::Topology;

use calls::Calls;
use line::Line;
use recover::Replay;
use repeated::LastingSessions;

pub use at_once::AtOnce;
pub use command::{Answer, Command, Operation, Reply, Wait};
pub use event::{Event, Notice, Noticed, Output};
pub use losses::Loss;

/// What an engine is told when it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Most memory that messages may take, bytes.
    pub memory_limit: u64,
    /// Lease of queues that do not say.
    pub lease: Span,
    /// Durability of queues that do not say.
    pub durability: Durability,
    /// Seed of the backoff's jitter and of dispatch by chance.
    pub seed: u64,
    /// Which opening this is, one more than at the opening before: tokens of another epoch open nothing, and what an opening wrote that a crash ended is nothing to another.
    pub epoch: u32,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// The name of a store that is made: a number that no other store has.
    pub store: u64,
    /// Whether it tells what is worth a line in a log: [`Event::Noticed`].
    pub notices: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            memory_limit: MEMORY_BYTES_DEFAULT,
            lease: Span(LEASE_MS_DEFAULT),
            durability: Durability::Durable,
            seed: 0,
            epoch: 1,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            store: 0,
            notices: false,
        }
    }
}

/// How a command ends within its own step.
#[derive(Debug)]
enum Outcome {
    /// Answered.
    Now(Reply),
    /// Answered once the frame of this step is so safe.
    Once(Durability, Reply),
    /// Answered once this frame is so safe.
    InFrame(u64, Durability, Reply),
    /// The call waits.
    Waits(CallId),
}

type Step = Result<Outcome>;

/// The engine.
///
/// The order of calls: [`handle`](Engine::handle) or [`advance`](Engine::advance) or [`io_done`](Engine::io_done), then [`poll`](Engine::poll) until it gives nothing, then the next.
/// `now` never goes back; an earlier `now` counts as the last one. [`deadline`](Engine::deadline) says when `advance` is due at the latest.
///
/// ```
/// use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply, Wait};
/// use ferrymq_core::model::{Outgoing, Time};
/// let mut engine = Engine::memory(Config::default());
/// let declare = Command::DeclareQueue { name: "q".into(), options: Default::default(), create: true, session: Default::default() };
/// let Answer::Done(Ok(Reply::Queue(queue))) = engine.handle(Time(0), declare) else { panic!() };
/// let produce = Command::Produce { queue, message: Outgoing::new(b"a".as_slice()), wait: Wait::No };
/// let Answer::Done(Ok(Reply::Produced(_))) = engine.handle(Time(0), produce) else { panic!() };
/// ```
#[derive(Debug)]
pub struct Engine {
    config: Config,
    now: Time,
    topology: Topology,
    lines: Vec<Option<Box<Line>>>,
    messages: Table,
    last_message: MessageId,
    memory: u64,
    leases: InFlight,
    consumers: Consumers,
    sessions: BTreeSet<SessionId>,
    last_session: SessionId,
    calls: Calls,
    confirms: Confirms<Reply>,
    log: Option<Stored<Log>>,
    lasting: LastingSessions,
    reclaim: Reclaim,
    /// What this step did to messages, for the account of the segment that says so.
    notes: Vec<Note>,
    replay: Replay,
    /// Why the store cannot be opened.
    refused: Option<Refused>,
    /// What may be lost, as the opening found.
    losses: Vec<Loss>,
    watermark: Watermark,
    /// Queues with messages that nobody may see yet.
    hiding: BTreeSet<u32>,
    /// The last reason that was given for a message that came back.
    reasons: BTreeMap<MessageId, String>,
    opened: bool,
    failed: bool,
    /// When a sync is due for what waits for none.
    sync_due: Time,
    agenda: BinaryHeap<Reverse<(Time, u32)>>,
    /// Nothing falls due before this moment.
    next_due: Time,
    /// Queues with producers that wait for room.
    blocked: BTreeSet<u32>,
    /// Queues with room that somebody may wait for.
    freed: BTreeSet<u32>,
    /// Queues with a message that somebody may wait for.
    unserved: Vec<u32>,
    /// Queues whose dead letters are held, to be tried again when what exists changes.
    holding: BTreeSet<u32>,
    /// Whether somebody waits because the broker's memory, not his queue, is full.
    memory_short: bool,
    randomness: Randomness,
    /// Who gets a message by chance: a stream of its own, so that it does not shift the backoff's jitter.
    dice: Randomness,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine without a store: every durability means memory.
    #[must_use]
    pub fn memory(config: Config) -> Engine {
        Engine {
            config,
            now: Time(0),
            topology: Topology::seeded(config.seed),
            lines: Vec::new(),
            messages: Table::default(),
            last_message: MessageId(0),
            memory: 0,
            leases: InFlight::new(config.epoch),
            consumers: Consumers::new(config.epoch),
            sessions: BTreeSet::new(),
            last_session: SessionId(0),
            calls: Calls::default(),
            confirms: Confirms::default(),
            log: None,
            lasting: None,
            reclaim: Reclaim::default(),
            notes: Vec::new(),
            replay: Replay::default(),
            refused: None,
            losses: Vec::new(),
            watermark: Watermark::default(),
            hiding: BTreeSet::new(),
            reasons: BTreeMap::new(),
            opened: true,
            failed: false,
            sync_due: Time::NEVER,
            agenda: BinaryHeap::new(),
            next_due: Time::NEVER,
            blocked: BTreeSet::new(),
            freed: BTreeSet::new(),
            unserved: Vec::new(),
            holding: BTreeSet::new(),
            memory_short: false,
            randomness: Randomness::new(config.seed),
            dice: Randomness::new(!config.seed),
            outputs: VecDeque::new(),
        }
    }

    /// An engine with a store. It opens through tickets: poll and answer them until [`is_open`](Engine::is_open).
    #[cfg(feature = "store")]
    #[must_use]
    pub fn open(config: Config, now: Time) -> Engine {
        let mut engine = Engine::memory(config);
        engine.now = now;
        // Not the time: a clock that jumps back gives the same again.
        let log = Log::open(config.segment_bytes, config.store, config.epoch.into());
        engine.log = Some(log.into());
        engine.lasting = Stored::made(Box::default);
        engine.opened = false;
        engine
    }

    /// Whether commands can be handled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.opened && !self.failed
    }

    /// Whether an I/O error has ended it: nothing succeeds until the store is opened anew.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Why the store could not be opened; `None` where it was, or where the disk failed.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// What was durable and could not be read when the store was opened; [`losses`](Engine::losses) says what that means for queues and messages. Everything else is served.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        self.log.as_ref().map_or(&[], |log| log.damage())
    }

    /// The engine's time: what it was told last, or, where that is later, the time of the last frame in its log.
    #[must_use]
    pub fn now(&self) -> Time {
        let logged = self.log.as_ref().map_or(0, |log| log.last_time());
        self.now.max(Time(logged))
    }

    /// When `advance` is due at the latest; `Time::NEVER` when nothing is.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Time {
        self.next_due
    }

    /// Handles a command. The answer comes at once, or later as an event.
    pub fn handle(&mut self, now: Time, command: Command) -> Answer {
        self.advance(now);
        if !self.opened || self.failed {
            return Answer::Done(Err(self.unusable()));
        }
        let step = self.dispatch(command);
        let answer = self.conclude(step);
        self.finish_step();
        answer
    }

    #[cold]
    fn unusable(&self) -> Error {
        if self.failed {
            Error::new(
                ErrorKind::StoreFailed,
                "an earlier write or sync failed, so nothing can be confirmed; close this broker and open the store anew",
            )
        } else {
            Error::new(
                ErrorKind::Unavailable,
                "the store is still being opened; try again",
            )
        }
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn dispatch(&mut self, command: Command) -> Step {
        match command {
            Command::Produce {
                queue,
                message,
                wait,
            } => self.produce(queue, message, wait),
            Command::Consume {
                queue,
                session,
                auto_ack,
                wait,
            } => self.consume(queue, session, None, auto_ack, wait),
            Command::Ack { token, durable } => self.ack(token, durable),
            Command::ProduceMany {
                queue,
                messages,
                wait,
            } => self.produce_many(queue, messages, wait),
            Command::ConsumeMany {
                queue,
                session,
                max,
                auto_ack,
                wait,
            } => self.consume(queue, session, Some(max), auto_ack, wait),
            Command::AckMany { tokens } => self.ack_many(&tokens),
            Command::Take {
                consumer,
                max,
                wait,
            } => self.take(consumer, max, wait),
            Command::Nack {
                token,
                delay,
                reason,
            } => self.nack(token, delay, reason),
            Command::Reject { token, reason } => self.reject(token, reason),
            Command::Release { token } => self.release(token),
            Command::Extend { token, by } => self.extend(token, by),
            Command::Keep { token, kept } => {
                self.leases.keep(token, kept)?;
                Ok(Outcome::Now(Reply::Done))
            }
            Command::Publish {
                exchange,
                key,
                message,
                mandatory,
            } => self.publish(exchange, &key, message, mandatory),
            Command::Transaction { operations } => self.transact(operations),
            Command::Cancel { call } => self.cancel(call),
            other => self.administer(other),
        }
    }

    /// Turns the end of a step into an answer. The frame of the step is closed here, so that what waits for it knows its number.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn conclude(&mut self, step: Step) -> Answer {
        match step {
            Ok(Outcome::Now(reply)) => Answer::Done(Ok(reply)),
            Ok(Outcome::Once(level, reply)) => self.confirm(once::THIS_FRAME, level, reply),
            Ok(Outcome::InFrame(lsn, level, reply)) => self.confirm(lsn, level, reply),
            Ok(Outcome::Waits(call)) => Answer::Pending(call),
            Err(error) => Answer::Done(Err(error)),
        }
    }

    /// The next thing that goes out; `None` when there is nothing for now.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.log.as_mut()?.poll().map(Output::Io)
    }

    /// Takes in what became of a ticket.
    pub fn io_done(&mut self, now: Time, ticket: TicketId, outcome: DiskOutcome) {
        self.advance(now);
        self.take_in(ticket, outcome);
        self.finish_step();
    }

    /// Lets time pass: fires what falls due up to `now`, in the order of its time.
    #[inline]
    pub fn advance(&mut self, now: Time) {
        if now >= self.next_due {
            self.fire_due(now);
        }
        if now > self.now {
            self.now = now;
        }
    }

    /// What every step ends with: those who wait for a message or for room are served, the frame is closed.
    #[inline]
    fn finish_step(&mut self) {
        while !(self.freed.is_empty() && self.unserved.is_empty()) {
            self.use_room();
            if let Some(index) = self.unserved.pop() {
                self.serve_waiting(index);
            }
        }
        if self.log.is_some() {
            self.close_frame();
        }
    }

    /// A queue's line. Errors: `NotFound`.
    #[inline]
    fn line(&mut self, queue: QueueId) -> Result<&mut Line> {
        match self.lines.get_mut(queue.index as usize) {
            Some(Some(line)) if line.id == queue => Ok(line),
            _ => Err(gone()),
        }
    }

    #[inline]
    fn line_at(&mut self, index: u32) -> &mut Line {
        self.lines[index as usize]
            .as_mut()
            .expect("a message's queue has a line")
    }

    /// From here on it tells what is worth a line in a log, or no longer.
    pub fn tell_notices(&mut self, tell: bool) {
        self.config.notices = tell;
    }

    /// Tells something worth a line in a log. The same again only counts, so that a million of them take the room of one.
    #[cold]
    fn notice(&mut self, index: u32, what: Noticed) {
        if !self.config.notices {
            return;
        }
        let queue = self.topology.queue_at(index);
        let queue = queue.map_or("", |queue| &queue.name);
        if let Some(Output::Event(Event::Noticed(last))) = self.outputs.back_mut()
            && last.what == what
            && last.queue == queue
        {
            last.count += 1;
            return;
        }
        let notice = Notice {
            queue: queue.to_owned(),
            what,
            count: 1,
        };
        self.outputs
            .push_back(Output::Event(Event::Noticed(notice)));
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline)]
    fn resolve(&mut self, call: CallId, result: Result<Reply>) {
        if !self.end_awaited(call, &result) {
            return;
        }
        self.outputs
            .push_back(Output::Event(Event::Resolved { call, result }));
    }
}

#[cold]
fn gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the queue was deleted; declare it again with broker.queue(name)",
    )
}
