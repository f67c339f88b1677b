//! One seed's world: engine, disk, model, and the clock between them.

use ferrymq_core::engine::{Answer, Command, Config, Engine, Event, Output, Reply, Wait};
use ferrymq_core::model::{
    Binding, CallId, ConsumerId, Destination, ExchangeId, QueueId, Result as CoreResult, SessionId,
    Time, Token,
};

use crate::bugs::Bug;
use crate::disk::SimDisk;
use crate::faults::{Counts, SyncEnd};
use crate::lasting::Owner;
use crate::model::{Ask, Asked, Exists, Model, Verdict};
use crate::opening::{brief, has_failed, poisons};
use crate::rng::{Hash, Rng};
use crate::workload::Plan;

/// A delivery in somebody's hands.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// What settles it.
    pub token: Token,
    /// Which message.
    pub item: u32,
    /// Whose.
    pub session: u32,
    /// Which attempt it is.
    pub attempt: u32,
}

/// A push consumer.
#[derive(Clone, Copy, Debug)]
pub struct Pushed {
    /// Its handle.
    pub id: ConsumerId,
    /// Of which place.
    pub slot: u8,
    /// Of which session.
    pub session: u32,
    /// Settled by being handed over.
    pub auto_ack: bool,
}

/// The world.
pub struct World<'p> {
    /// What is done in it.
    pub plan: &'p Plan,
    /// What is deliberately wrong.
    pub bug: Option<Bug>,
    /// What is under test.
    pub engine: Engine,
    /// What was promised.
    pub model: Model,
    /// The disk.
    pub disk: SimDisk,
    /// Details of this step.
    pub rng: Rng,
    /// Calls that wait.
    pub waiting: Vec<(CallId, Ask)>,
    /// Deliveries in somebody's hands.
    pub held: Vec<Held>,
    /// Open sessions.
    pub sessions: Vec<SessionId>,
    /// The lasting session.
    pub owner: Option<Owner>,
    /// Open push consumers.
    pub consumers: Vec<Pushed>,
    /// The exchange.
    pub exchange: Option<ExchangeId>,
    /// A crash comes before the ticket after so many.
    pub crash_in: Option<u64>,
    /// What happened, in one number.
    pub hash: Hash,
    /// What happened, in words, if anybody reads them.
    pub trace: Option<Vec<String>>,
    pub(crate) config: Config,
    pub(crate) crashing: bool,
    pub(crate) reverted: bool,
    pub(crate) idle: u32,
    /// How many tickets the engine gave.
    pub(crate) tickets: u64,
}

impl<'p> World<'p> {
    /// A new world, which has not begun.
    #[must_use]
    pub fn new(plan: &'p Plan, bug: Option<Bug>, trace: bool) -> World<'p> {
        let config = Config {
            durability: plan.durability,
            seed: plan.seed,
            epoch: 0,
            segment_bytes: 4096,
            ..Config::default()
        };
        let mut model = Model::new(plan.durability);
        for queue in &plan.queues {
            model.add_queue(&queue.name, &queue.options);
        }
        model.add_graves();
        World {
            plan,
            bug,
            engine: Engine::memory(config),
            model,
            disk: SimDisk::new(bug, plan.damage),
            rng: Rng::new(plan.seed),
            waiting: Vec::new(),
            held: Vec::new(),
            sessions: Vec::new(),
            owner: None,
            consumers: Vec::new(),
            exchange: None,
            crash_in: None,
            hash: Hash::default(),
            trace: trace.then(Vec::new),
            config,
            crashing: false,
            reverted: false,
            idle: 0,
            tickets: 0,
        }
    }

    /// A store is made, and what the plan needs is declared.
    pub fn begin(&mut self) -> Verdict {
        self.crash()?;
        self.declare_all()?;
        self.begin_lasting()
    }

    /// Adds a line to the trace.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace {
            lines.push(line());
        }
    }

    fn declare_all(&mut self) -> Verdict {
        self.open_session()?;
        for at in 0..self.plan.queues.len() as u8 {
            self.declare(at)?;
        }
        self.sync_all()?;
        let Some(kind) = self.plan.exchange else {
            return Ok(());
        };
        let declare = Command::DeclareExchange {
            name: "x".to_owned(),
            kind: Some(kind),
            alternate: None,
            create: true,
        };
        self.hand_in(declare, Asked::Other { durable: true })?;
        self.sync_all()?;
        self.find_exchange();
        for at in 0..self.plan.queues.len() as u8 {
            self.bind(at)?;
        }
        self.sync_all()
    }

    /// Binds a queue to the exchange.
    pub fn bind(&mut self, at: u8) -> Verdict {
        let (Some(exchange), Some(queue)) = (self.exchange, self.model.slots[at as usize].id)
        else {
            return Ok(());
        };
        self.model.slots[at as usize].bound = Some(true);
        let bind = Command::Bind {
            exchange,
            binding: Binding::new(Destination::Queue(queue), "k"),
        };
        self.hand_in(bind, Asked::Bind(at))
    }

    pub(crate) fn find_exchange(&mut self) {
        let Some(kind) = self.plan.exchange else {
            return;
        };
        let find = Command::DeclareExchange {
            name: "x".to_owned(),
            kind: Some(kind),
            alternate: None,
            create: false,
        };
        self.exchange = match self.engine.handle(Time(self.model.now), find) {
            Answer::Done(Ok(Reply::Exchange(exchange, _))) => Some(exchange),
            _ => None,
        };
    }

    /// Opens a session.
    pub fn open_session(&mut self) -> Verdict {
        let now = Time(self.model.now);
        if let Answer::Done(Ok(Reply::Session(session))) =
            self.engine.handle(now, Command::OpenSession)
        {
            self.sessions.push(session);
        }
        self.pump()
    }

    /// Declares a queue of the plan.
    pub fn declare(&mut self, at: u8) -> Verdict {
        let planned = &self.plan.queues[at as usize];
        let declare = Command::DeclareQueue {
            name: planned.name.clone(),
            options: planned.options.clone(),
            create: true,
            session: self.sessions.first().copied().unwrap_or(SessionId::NOBODY),
        };
        let slot = &mut self.model.slots[at as usize];
        if slot.exists != Exists::Solid {
            slot.exists = Exists::Unsure;
        }
        self.hand_in(declare, Asked::Declare(at))
    }

    /// The handle of a place, if it exists.
    pub fn handle_of(&mut self, at: u8) -> Option<QueueId> {
        let slot = &self.model.slots[at as usize];
        if !slot.is_grave {
            return slot.id;
        }
        let lookup = Command::DeclareQueue {
            name: slot.name.clone(),
            options: Default::default(),
            create: false,
            session: SessionId::NOBODY,
        };
        match self.engine.handle(Time(self.model.now), lookup) {
            Answer::Done(Ok(Reply::Queue(queue))) => Some(queue),
            _ => None,
        }
    }

    /// Hands in a command, and does what the engine asks for then.
    pub fn hand_in(&mut self, command: Command, what: Asked) -> Verdict {
        if self.trace.is_some() {
            let line = format!("{} ms: {command:?}", self.model.now);
            self.say(|| line);
        }
        let ask = self.model.ask(what);
        let command = match self.crossed(command, &ask)? {
            Some(command) => command,
            None => return Ok(()),
        };
        match self.engine.handle(Time(self.model.now), command) {
            Answer::Done(result) => self.answered(&ask, &result)?,
            Answer::Pending(call) => {
                self.hash.add(call.0);
                if let Some(hasty) = self.hasty(&ask) {
                    self.answered(&hasty, &Ok(Reply::Done))?;
                }
                self.waiting.push((call, ask));
            }
        }
        self.pump()
    }

    /// The deliberate bugs between caller and engine: a command that never arrives.
    fn crossed(&mut self, command: Command, ask: &Ask) -> Result<Option<Command>, String> {
        if self.bug == Some(Bug::LoseAcks) && matches!(command, Command::Ack { .. }) {
            self.answered(ask, &Ok(Reply::Done))?;
            return Ok(None);
        }
        Ok(Some(command))
    }

    /// The deliberate bugs between caller and engine: an answer before its time.
    fn hasty(&self, ask: &Ask) -> Option<Ask> {
        match (self.bug, &ask.what) {
            (Some(Bug::AckBeforeSync), Asked::Ack(..)) => Some(ask.clone()),
            (Some(Bug::ProduceBeforeSync), Asked::Produce(items)) => Some(Ask {
                // An answer without ids.
                what: Asked::Publish(items.clone()),
                ..ask.clone()
            }),
            _ => None,
        }
    }

    /// An answer: the model judges it, and what was handed over is held.
    fn answered(&mut self, ask: &Ask, result: &CoreResult<Reply>) -> Verdict {
        self.say(|| format!("    -> {result:?}"));
        self.hash.add(match result {
            Ok(Reply::Produced(id)) => id.0,
            Ok(_) => 1,
            Err(error) => 2 + error.kind() as u64,
        });
        if let Asked::Consume { slot, session, .. } = ask.what {
            let deliveries = match result {
                Ok(Reply::Delivery(Some(delivery))) => std::slice::from_ref(delivery),
                Ok(Reply::Deliveries(deliveries)) => deliveries.as_slice(),
                _ => &[],
            };
            for delivery in deliveries {
                if self.model.poisoned {
                    return Err("a message was handed over after an I/O error".to_owned());
                }
                let item = self.model.delivered(slot, delivery)?;
                self.hash.add(delivery.message.id.0);
                if !self.sessions.iter().any(|open| open.0 == session) {
                    // It was given back when its session ended, before this answer came.
                    let attempt = delivery.message.attempt;
                    self.model.items[item as usize].uncount_attempt(attempt);
                } else if let Some(token) = delivery.token {
                    self.held.push(Held {
                        token,
                        item,
                        session,
                        attempt: delivery.message.attempt,
                    });
                }
            }
        }
        self.model.told(ask, result)
    }

    /// Does what the engine asks for, until it asks for nothing, or the crash comes.
    pub fn pump(&mut self) -> Verdict {
        while !self.crashing
            && let Some(output) = self.engine.poll()
        {
            match output {
                Output::Event(Event::Resolved { call, result }) => {
                    let at = self.waiting.iter().position(|(waits, _)| *waits == call);
                    if let Some(at) = at {
                        let (_, ask) = self.waiting.swap_remove(at);
                        self.answered(&ask, &result)?;
                    }
                    let owner = self.owner.as_mut();
                    if let Some(number) = owner.and_then(|owner| owner.take_call(call)) {
                        self.answered_by_number(number, &result)?;
                    }
                }
                Output::Event(_) => {}
                Output::Io(ticket) => {
                    self.tickets += 1;
                    if self.crash_in == Some(0) {
                        self.say(|| format!("    the crash cuts off {}", brief(&ticket)));
                        self.disk.interrupt(ticket, &mut self.rng);
                        self.crashing = true;
                        return Ok(());
                    }
                    self.crash_in = self.crash_in.map(|left| left - 1);
                    let (id, poisons) = (ticket.id, poisons(&ticket.op));
                    self.note(&ticket);
                    if let Some(outcome) = self.disk.execute(ticket, &mut self.rng) {
                        let failed = has_failed(&outcome);
                        if failed {
                            self.say(|| format!("    ticket {} fails", id.0));
                        }
                        self.engine.io_done(Time(self.model.now), id, outcome);
                        self.model.poisoned |= failed && poisons;
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, ticket: &ferrymq_core::store::Ticket) {
        use ferrymq_core::store::DiskOp;
        self.hash.add(ticket.id.0);
        if let DiskOp::WriteAt { offset, bytes, .. } = &ticket.op {
            self.hash.add(*offset);
            self.hash.bytes(bytes);
        }
        self.say(|| format!("    {}", brief(ticket)));
    }

    /// Whether the crash has come within this step.
    #[must_use]
    pub fn is_crashing(&self) -> bool {
        self.crashing
    }

    /// A sync ends.
    pub fn end_sync(&mut self, nth: usize, end: SyncEnd) -> Verdict {
        if self.crashing {
            return Ok(());
        }
        let (id, outcome) = self.disk.end_sync(nth, end, &mut self.rng);
        self.say(|| format!("    the sync of ticket {} ends: {end:?}", id.0));
        self.model.poisoned |= has_failed(&outcome);
        self.reverted |= end == SyncEnd::Reverted;
        self.engine.io_done(Time(self.model.now), id, outcome);
        self.pump()
    }

    /// Ends syncs until none is on its way.
    pub fn sync_all(&mut self) -> Verdict {
        let mut left = 1000;
        while self.disk.syncs() > 0 && !self.crashing {
            self.end_sync(0, SyncEnd::Well)?;
            left -= 1;
            if left == 0 {
                return Err("syncs without end".to_owned());
            }
        }
        Ok(())
    }

    /// Time passes.
    pub fn pass(&mut self, span: u64) -> Verdict {
        self.say(|| format!("{span} ms pass"));
        self.model.now += span;
        self.model.peak = self.model.peak.max(self.model.now);
        self.engine.advance(Time(self.model.now));
        self.pump()
    }

    /// The clock jumps. Back it means nothing to the engine, whose own never does.
    pub fn jump(&mut self) -> Verdict {
        self.disk.counts.clock_jumps += 1;
        if self.rng.percent(50) {
            let span = self.rng.below(20_000);
            return self.pass(span);
        }
        self.model.now = self.model.now.saturating_sub(self.rng.below(500));
        self.pass(0)
    }

    /// What every step ends with: the crash that has come, or one that an engine which has failed needs.
    pub fn end_step(&mut self) -> Verdict {
        if !self.crashing && self.disk.syncs() > 0 && self.rng.percent(self.plan.eager) {
            let nth = self.rng.below(self.disk.syncs() as u64) as usize;
            self.end_sync(nth, SyncEnd::Well)?;
        }
        self.idle = match self.engine.has_failed() {
            true => self.idle + 1,
            false => 0,
        };
        if self.crashing || self.idle > 2 {
            self.crash()?;
        }
        Ok(())
    }

    /// What holds for a wait of this kind.
    pub fn wait(&mut self) -> Wait {
        match self.rng.below(6) {
            0 => Wait::Forever,
            1 | 2 => Wait::Until(Time(self.model.now + 1 + self.rng.below(100))),
            _ => Wait::No,
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            checks: self.model.checks,
            seeds: 1,
            ..self.disk.counts
        }
    }
}
