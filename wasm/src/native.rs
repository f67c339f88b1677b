//! One broker: the calls on a message's way. They take numbers, and bytes through the scratch memory that JavaScript writes into.

use std::collections::VecDeque;

use ferrymq_core::engine::{Answer, AtOnce, Command, Config, Engine, Event, Notice, Output, Reply};
use ferrymq_core::model::{
    Body, CallId, ConsumerId, Error, ErrorKind, Outgoing, QueueId, Result, SessionId, Span, Time,
};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::{durability, span, time, wait};
#[cfg(feature = "store")]
use crate::disk::Disk;
use crate::results::{DONE, PENDING, Results};
use crate::wire::{Reader, properties_from, token_from};

/// One broker. See the crate.
#[wasm_bindgen]
pub struct Native {
    pub(crate) config: Config,
    /// `None`: in memory, no store.
    #[cfg(feature = "store")]
    pub(crate) disk: Option<Disk>,
    /// `None`: closed, or killed by a test.
    pub(crate) engine: Option<Engine>,
    pub(crate) session: SessionId,
    pub(crate) results: Results,
    pub(crate) scratch: Vec<u8>,
    resolved: VecDeque<(CallId, Result<Reply>)>,
    /// What the engine noticed, until JavaScript fetches it after the call.
    notices: Vec<Notice>,
    /// The result fetched last, kept so that a delivery nobody wants any more can be given back.
    fetched: Vec<ferrymq_core::model::Token>,
}

/// Calls that prepare and fetch.
#[wasm_bindgen]
impl Native {
    /// A broker in memory. It is to be opened with `reopen`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        memory_limit: f64,
        lease: f64,
        durability_code: u32,
        seed: u32,
        notices: bool,
    ) -> Native {
        let defaults = Config::default();
        let config = Config {
            memory_limit: if memory_limit.is_nan() {
                defaults.memory_limit
            } else {
                memory_limit as u64
            },
            lease: span(lease).unwrap_or(defaults.lease),
            durability: durability(durability_code).unwrap_or(defaults.durability),
            seed: u64::from(seed),
            notices,
            ..defaults
        };
        Native {
            config,
            #[cfg(feature = "store")]
            disk: None,
            engine: None,
            session: SessionId::default(),
            results: Results::default(),
            scratch: Vec::new(),
            resolved: VecDeque::new(),
            notices: Vec::new(),
            fetched: Vec::new(),
        }
    }

    /// Where the registers are; they stay there.
    pub fn registers(&self) -> usize {
        self.results.registers.address()
    }

    /// Where the scratch memory is, grown to at least `length` bytes with what it held.
    pub fn scratch(&mut self, length: usize) -> usize {
        if self.scratch.len() < length {
            self.scratch.resize(length, 0);
        }
        self.scratch.as_ptr() as usize
    }

    /// Gives scratch memory back beyond `length` bytes.
    pub fn shrink_scratch(&mut self, length: usize) -> usize {
        self.scratch.truncate(length);
        self.scratch.shrink_to_fit();
        self.scratch.as_ptr() as usize
    }

    /// Fetches the result of a call that was pending: its number and result are in the registers afterwards.
    pub fn next_resolved(&mut self) -> u32 {
        let Some((call, result)) = self.resolved.pop_front() else {
            return PENDING;
        };
        self.results.registers.set_events(self.resolved.len());
        self.results.registers.set_call(call.0);
        self.fetched.clear();
        match &result {
            Ok(Reply::Delivery(Some(delivery))) => self.fetched.extend(delivery.token),
            Ok(Reply::Deliveries(all)) => {
                self.fetched
                    .extend(all.iter().filter_map(|delivery| delivery.token));
            }
            _ => {}
        }
        self.results.store(result)
    }

    /// Releases the deliveries that `next_resolved` fetched last: their call had been given up.
    pub fn give_back(&mut self, now: f64) {
        for token in std::mem::take(&mut self.fetched) {
            // The lease may have ended meanwhile; then there is nothing to give back.
            self.run(now, Command::Release { token });
        }
    }

    /// Takes the statistics that the last call left.
    pub fn take_value(&mut self) -> JsValue {
        std::mem::take(&mut self.results.value)
    }

    /// Fetches what the engine noticed.
    pub fn take_notices(&mut self) {
        self.results.registers.set_notices(0);
        self.results.notices(&std::mem::take(&mut self.notices));
    }

    /// Fires the timers that are due.
    pub fn advance(&mut self, now: f64) {
        if let Some(engine) = &mut self.engine {
            engine.advance(time(now));
        }
        self.pump(time(now));
    }

    /// Gives up a pending call.
    pub fn cancel(&mut self, now: f64, call: u64) -> u32 {
        self.run(now, Command::Cancel { call: CallId(call) })
    }
}

/// Calls on a message's way.
#[wasm_bindgen]
impl Native {
    /// The scratch memory holds properties, then the body.
    #[allow(clippy::too_many_arguments)] // Numbers cross the boundary for nothing, an object does not.
    pub fn produce(
        &mut self,
        now: f64,
        index: u32,
        generation: u32,
        properties: usize,
        body: usize,
        level: u32,
        delay: f64,
        ttl: f64,
        wait_ms: f64,
    ) -> u32 {
        let (first, second) = self.scratch[..properties + body].split_at(properties);
        let message = Outgoing {
            body: Body::from(second),
            properties: properties_from(first),
            priority: level as u8,
            delay: span(delay),
            ttl: span(ttl),
            durability: durability(level >> 8),
        };
        let queue = QueueId { index, generation };
        let Some(engine) = &mut self.engine else {
            return self.results.store(Err(closed()));
        };
        let message = match engine.produce_at_once(time(now), queue, message) {
            Ok(AtOnce::Waits(message)) => message,
            Ok(AtOnce::Produced(id)) => {
                self.results.registers.set_number(id.0);
                return self.done(now);
            }
            Err(error) => return self.refused(now, error),
        };
        let wait = wait(time(now), wait_ms);
        self.run(
            now,
            Command::Produce {
                queue,
                message,
                wait,
            },
        )
    }

    /// The scratch memory holds `count` messages in `length` bytes.
    pub fn produce_many(
        &mut self,
        now: f64,
        index: u32,
        generation: u32,
        length: usize,
        count: usize,
        wait_ms: f64,
    ) -> u32 {
        let mut reader = Reader::new(&self.scratch[..length]);
        let command = Command::ProduceMany {
            queue: QueueId { index, generation },
            messages: (0..count).map(|_| reader.message()).collect(),
            wait: wait(time(now), wait_ms),
        };
        self.run(now, command)
    }

    /// Takes the next message.
    pub fn consume(
        &mut self,
        now: f64,
        index: u32,
        generation: u32,
        auto_ack: bool,
        wait_ms: f64,
    ) -> u32 {
        let (queue, session) = (QueueId { index, generation }, self.session);
        let Some(engine) = &mut self.engine else {
            return self.results.store(Err(closed()));
        };
        match engine.consume_at_once(time(now), queue, session, auto_ack) {
            Ok(None) => {}
            Ok(delivery) => {
                self.results.delivery(delivery);
                return self.done(now);
            }
            Err(error) => return self.refused(now, error),
        }
        let wait = wait(time(now), wait_ms);
        self.run(
            now,
            Command::Consume {
                queue,
                session,
                auto_ack,
                wait,
            },
        )
    }

    /// Takes up to `max` messages.
    pub fn consume_many(
        &mut self,
        now: f64,
        index: u32,
        generation: u32,
        max: u32,
        auto_ack: bool,
        wait_ms: f64,
    ) -> u32 {
        self.run(
            now,
            Command::ConsumeMany {
                queue: QueueId { index, generation },
                session: self.session,
                max,
                auto_ack,
                wait: wait(time(now), wait_ms),
            },
        )
    }

    /// Registers a push consumer; its handle is in the registers.
    pub fn open_consumer(
        &mut self,
        now: f64,
        index: u32,
        generation: u32,
        prefetch: u32,
        auto_ack: bool,
    ) -> u32 {
        self.run(
            now,
            Command::OpenConsumer {
                queue: QueueId { index, generation },
                session: self.session,
                prefetch,
                auto_ack,
            },
        )
    }

    /// Hands over up to `max` of what is reserved for a push consumer.
    pub fn take(&mut self, now: f64, index: u32, generation: u32, max: u32, wait_ms: f64) -> u32 {
        self.run(
            now,
            Command::Take {
                consumer: ConsumerId { index, generation },
                max,
                wait: wait(time(now), wait_ms),
            },
        )
    }

    /// Ends a push consumer.
    pub fn close_consumer(&mut self, now: f64, index: u32, generation: u32) -> u32 {
        let consumer = ConsumerId { index, generation };
        self.run(now, Command::CloseConsumer { consumer })
    }

    /// Acks one delivery, by the words of its token.
    #[allow(clippy::too_many_arguments)] // As `produce`.
    pub fn ack(
        &mut self,
        now: f64,
        epoch: u32,
        lease: u32,
        d1: u32,
        d0: u32,
        m1: u32,
        m0: u32,
        durable: bool,
    ) -> u32 {
        let token = token_from([epoch, lease, d1, d0, m1, m0]);
        let Some(engine) = &mut self.engine else {
            return self.results.store(Err(closed()));
        };
        match engine.ack_at_once(time(now), token) {
            Ok(true) => self.done(now),
            Ok(false) => self.run(now, Command::Ack { token, durable }),
            Err(error) => self.refused(now, error),
        }
    }

    /// The scratch memory holds `count` tokens.
    pub fn ack_many(&mut self, now: f64, count: usize) -> u32 {
        let mut reader = Reader::new(&self.scratch);
        let tokens = (0..count).map(|_| reader.token()).collect();
        self.run(now, Command::AckMany { tokens })
    }

    /// The scratch memory holds a token, then the reason. `verb`: 0 nack, 1 reject, 2 release, 3 extend, 4 keep (`ms` 1) or not any more (0); `ms`: delay or extension;
    /// `reason`: its length, negative for none.
    pub fn settle(&mut self, now: f64, verb: u32, ms: f64, reason: i32) -> u32 {
        let command = self.settlement(verb, ms, reason);
        self.run(now, command)
    }
}

impl Native {
    fn settlement(&self, verb: u32, ms: f64, reason: i32) -> Command {
        let token = Reader::new(&self.scratch).token();
        let reason = usize::try_from(reason).ok().map(|length| {
            let from = ferrymq_core::model::Token::BYTES;
            String::from_utf8_lossy(&self.scratch[from..from + length]).into_owned()
        });
        match verb {
            0 => Command::Nack {
                token,
                delay: span(ms),
                reason,
            },
            1 => Command::Reject { token, reason },
            2 => Command::Release { token },
            3 => Command::Extend {
                token,
                by: span(ms).unwrap_or(Span(0)),
            },
            _ => Command::Keep {
                token,
                kept: ms > 0.0,
            },
        }
    }

    /// Gives the engine a command, and what follows from it to disk and registers.
    #[inline]
    pub(crate) fn run(&mut self, now: f64, command: Command) -> u32 {
        let Some(engine) = &mut self.engine else {
            return self.results.store(Err(closed()));
        };
        let status = match engine.handle(time(now), command) {
            Answer::Done(result) => self.results.store(result),
            Answer::Pending(call) => {
                self.results.registers.set_call(call.0);
                PENDING
            }
        };
        self.pump(time(now));
        status
    }

    /// After a step that was answered at once.
    #[inline]
    fn done(&mut self, now: f64) -> u32 {
        self.pump(time(now));
        DONE
    }

    #[cold]
    fn refused(&mut self, now: f64, error: Error) -> u32 {
        self.pump(time(now));
        self.results.store(Err(error))
    }

    /// Carries tickets to the disk and outcomes back, and collects results, until the engine has nothing more to say.
    #[cfg_attr(not(feature = "store"), allow(unused_variables))] // Without a store there is no disk whose outcomes come at a time.
    pub(crate) fn pump(&mut self, now: Time) {
        let Some(engine) = &mut self.engine else {
            self.results.registers.set_events(self.resolved.len());
            self.results.registers.set_deadline(Time::NEVER);
            return;
        };
        while let Some(output) = engine.poll() {
            match output {
                Output::Event(Event::Resolved { call, result }) => {
                    self.resolved.push_back((call, result));
                }
                Output::Event(Event::Noticed(notice)) => {
                    self.notices.push(notice);
                    self.results.registers.set_notices(self.notices.len());
                }
                #[cfg(feature = "store")]
                Output::Io(ticket) => {
                    let id = ticket.id;
                    let disk = self
                        .disk
                        .as_mut()
                        .expect("only an engine with a store hands out tickets");
                    if let Some(outcome) = disk.take(ticket) {
                        engine.io_done(now, id, outcome);
                    }
                    self.results.registers.set_tickets(disk.waiting());
                }
                _ => {}
            }
        }
        #[cfg(feature = "store")]
        if engine.is_held_up() && matches!(self.disk, Some(Disk::Manual(_))) {
            // The disk in memory does not sync before it is told, but for a log that could not go on.
            return self.complete(now, true);
        }
        self.results.registers.set_events(self.resolved.len());
        self.results.registers.set_deadline(engine.deadline());
    }

    /// Results nobody can wait for any more.
    pub(crate) fn forget_results(&mut self) {
        self.resolved.clear();
        self.fetched.clear();
    }

    /// As `run`, for a call that never waits.
    pub(crate) fn ask(&mut self, now: f64, command: Command) -> bool {
        self.run(now, command) == DONE
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the broker is closed; open it anew")
}
