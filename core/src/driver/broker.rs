//! The handle.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use crossbeam_queue::ArrayQueue;

use crate::engine::{AtOnce, Command, Config, Reply, Wait};
use crate::model::limits::{
    LEASE_MS_MAX, LEASE_MS_MIN, MEMORY_BYTES_DEFAULT, RING_COMMANDS_MAX, SEGMENT_BYTES_TESTING,
};
use crate::model::{
    self, ConsumerId, Durability, Error, Outgoing, QueueId, Result, SessionId, Span, Time, Token,
};
use crate::testing::ManualDisk;

use super::clock::Clock;
use super::disk::{Disk, Work};
use super::files::Files;
use super::opening::files_of;
use super::pending::Pending;
use super::state::{Delivery, State, closed};
use super::testing::{Storage, Testing};
use super::timer::Timer;
use super::watching::Watch;
use super::working::Worker;

/// What a broker is told when it is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Most memory that messages may take, bytes.
    pub memory_limit: u64,
    /// Lease of queues that do not say.
    pub lease: Span,
    /// Durability of queues that do not say. Without a store every level means memory.
    pub durability: Durability,
    /// Seed of the backoff's jitter and of dispatch by chance.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let config = Config::default();
        Options {
            memory_limit: MEMORY_BYTES_DEFAULT,
            lease: config.lease,
            durability: config.durability,
            seed: config.seed,
        }
    }
}

impl Options {
    /// Errors: `InvalidArgument` for a lease out of range.
    pub(super) fn config(&self) -> Result<Config> {
        if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&self.lease.0) {
            return Err(Error::invalid(format!(
                "lease is {} ms; it must be {LEASE_MS_MIN} to {LEASE_MS_MAX} ms",
                self.lease.0
            )));
        }
        Ok(Config {
            memory_limit: self.memory_limit,
            lease: self.lease,
            durability: self.durability,
            seed: self.seed,
            ..Config::default()
        })
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Told, once the broker is being closed, whenever a job on the disk is done.
    idle: Condvar,
    pub clock: Clock,
    pub timer: Timer,
    pub worker: Worker,
    pub watch: Arc<Watch>,
    ring: ArrayQueue<Command>,
    session: AtomicU32,
    closed: AtomicBool,
    /// Where it stores; `None`: in memory.
    directory: Option<PathBuf>,
    /// The store's files, as long as it is open; for a forked child, which may never get the lock of the state.
    files: Weak<Files>,
}

/// A broker, as a handle: clone it, send it to any thread.
///
/// ```
/// use ferrymq_core::driver::{Broker, Options};
/// let broker = Broker::open(Options::default())?;
/// let queue = broker.queue("orders", Default::default())?;
/// queue.produce(&b"first"[..])?;
/// let delivery = queue.consume(None)?.expect("one is there");
/// assert_eq!(delivery.body(), b"first");
/// delivery.ack()?;
/// # Ok::<(), ferrymq_core::model::Error>(())
/// ```
#[derive(Clone)]
pub struct Broker {
    pub(super) shared: Arc<Shared>,
}

/// The answer to `start`.
pub enum Started {
    /// The result.
    Done(Result<Reply>),
    /// It will come.
    Pending(Pending),
}

impl Broker {
    /// A broker in memory. Errors: `InvalidArgument` for options out of range.
    pub fn open(options: Options) -> Result<Broker> {
        let config = options.config()?;
        Broker::with(config, Clock::real(), Disk::Memory)
    }

    /// A broker whose clock is moved by hand, in memory, on a disk that completes when told, or in a directory. Errors: as `open` and `open_path`.
    pub fn open_testing(options: Options, storage: Storage) -> Result<(Broker, Testing)> {
        let mut config = options.config()?;
        let disk = match storage {
            Storage::Memory => Disk::Memory,
            Storage::Files(directory) => {
                config.segment_bytes = SEGMENT_BYTES_TESTING;
                files_of(&directory, &mut config, true)?
            }
            Storage::Manual => {
                config.segment_bytes = SEGMENT_BYTES_TESTING;
                Disk::Manual(ManualDisk::default())
            }
        };
        let broker = Broker::with(config, Clock::manual(), disk)?;
        Ok((broker.clone(), Testing::new(broker)))
    }

    pub(super) fn with(config: Config, clock: Clock, disk: Disk) -> Result<Broker> {
        let watch = Arc::new(Watch::default());
        let (directory, files) = match &disk {
            Disk::Files(work) => {
                let directory = work.files.directory().to_owned();
                (Some(directory), Arc::downgrade(&work.files))
            }
            _ => (None, Weak::new()),
        };
        let state = State::open(config, disk, clock.now(), Arc::clone(&watch))?;
        let clock = clock.not_before(state.engine.now());
        let session = AtomicU32::new(state.session.0);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            idle: Condvar::new(),
            clock,
            timer: Timer::new(),
            worker: Worker::default(),
            watch,
            ring: ArrayQueue::new(RING_COMMANDS_MAX),
            session,
            closed: AtomicBool::new(false),
            directory,
            files,
        });
        shared.watch.belongs_to(Arc::downgrade(&shared));
        let broker = Broker { shared };
        if broker.directory().is_some() && broker.shared.clock.is_real() {
            broker.shared.worker.start(Arc::downgrade(&broker.shared))?;
            // What the opening left to be done in time.
            broker.with_state(|_, _, _| ());
        }
        Ok(broker)
    }

    /// The engine's time, milliseconds.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// How long a call with this timeout waits: `None` for ever, zero not at all. Never less than was asked: of the millisecond that now runs, a part is over.
    #[must_use]
    pub fn wait(&self, timeout: Option<Span>) -> Wait {
        let begun = Span(u64::from(self.shared.clock.is_real()));
        match timeout {
            None => Wait::Forever,
            Some(Span(0)) => Wait::No,
            Some(span) => Wait::Until(self.now().after(begun).after(span)),
        }
    }

    /// The session that holds this broker's leases.
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId(self.shared.session.load(Ordering::Relaxed))
    }

    /// The directory that it stores in; `None`: it is in memory.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.shared.directory.as_deref()
    }

    /// To be called in a forked child for every broker that its parent has open: the child must not use it, and lets go of what it has inherited of the store's lock. Takes no other lock.
    pub fn forked(&self) {
        if let Some(files) = self.shared.files.upgrade() {
            files.let_go_in_child();
            // Not torn down here: what it would say of the store's owner is the parent's to say.
            std::mem::forget(files);
        }
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Handles a command; waits while it is pending.
    pub fn call(&self, command: Command) -> Result<Reply> {
        match self.begin(command) {
            Started::Done(result) => result,
            Started::Pending(pending) => pending.wait(),
        }
    }

    /// Handles a command without waiting.
    #[inline]
    pub fn start(&self, command: Command) -> Started {
        let started = self.begin(command);
        if let Started::Pending(pending) = &started {
            pending.leave_work();
        }
        started
    }

    /// The same for who waits for the answer at once, with [`Pending::wait`] or [`Pending::wait_for`]: he does himself what the disk is needed for, instead of waking somebody who does.
    #[inline]
    pub fn begin(&self, command: Command) -> Started {
        let shared = &self.shared;
        let mut woken = Vec::new();
        let mut state = shared.lock();
        let now = shared.clock.now();
        shared.drain_ring(&mut state, now, &mut woken);
        if state.closed {
            return Started::Done(Err(closed()));
        }
        match state.handle(now, command, &mut woken) {
            Ok(result) => {
                self.release(state, woken);
                Started::Done(result)
            }
            Err((call, mailbox)) => {
                let has_job = state.disk.has_job();
                self.open_lock(state, woken);
                Started::Pending(Pending::new(self.clone(), call, mailbox, has_job))
            }
        }
    }

    /// Whether the short ways may be answered at once: with a store everything waits for the log.
    #[inline]
    fn has_short_ways(&self) -> bool {
        self.shared.directory.is_none()
    }

    /// Puts a message on a queue if that can be answered at once; else gives it back, to be handed in as a command. The short way of [`Command::Produce`].
    #[inline]
    pub fn produce_at_once(&self, queue: QueueId, message: Outgoing) -> Result<AtOnce> {
        if !self.has_short_ways() {
            return Ok(AtOnce::Waits(message));
        }
        let timed = message.delay.is_some() || message.ttl.is_some();
        let now = if timed {
            self.shared.clock.now()
        } else {
            self.shared.clock.last_tick()
        };
        self.at_once(
            |state| state.engine.produce_at_once(now, queue, message),
            now,
        )
    }

    /// Puts a body without properties on a queue if that can be answered at once. `None`: it is still in `body`, to be handed in as a command.
    #[inline]
    pub fn produce_body_at_once(
        &self,
        queue: QueueId,
        body: &mut Option<model::Body>,
    ) -> Result<Option<model::MessageId>> {
        if !self.has_short_ways() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| state.engine.produce_body_at_once(now, queue, body),
            now,
        )
    }

    /// Puts bodies on a queue, all or none, if that can be answered at once: gives the first one's id, which the others' follow one by one. `None`: they are still in `bodies`, to be handed in as a
    /// command. The short way of [`Command::ProduceMany`].
    pub fn produce_bodies_at_once(
        &self,
        queue: QueueId,
        bodies: &mut Vec<model::Body>,
    ) -> Result<Option<model::MessageId>> {
        if !self.has_short_ways() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| state.engine.produce_bodies_at_once(now, queue, bodies),
            now,
        )
    }

    /// Takes the next message if one is ready; `None`: hand it in as a command. The short way of [`Command::Consume`].
    #[inline]
    pub fn consume_at_once(
        &self,
        queue: QueueId,
        auto_ack: bool,
    ) -> Result<Option<model::Delivery>> {
        if !self.has_short_ways() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| {
                let session = state.session;
                state.engine.consume_at_once(now, queue, session, auto_ack)
            },
            now,
        )
    }

    /// Takes the next message that is reserved for a push consumer; `None`: hand it in as a command. The short way of [`Command::Take`].
    #[inline]
    pub fn take_at_once(&self, consumer: ConsumerId) -> Result<Option<model::Delivery>> {
        if !self.has_short_ways() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(|state| state.engine.take_at_once(now, consumer), now)
    }

    /// Takes up to `max` messages that are ready into `taken`; if it gets none, hand it in as a command. The short way of [`Command::ConsumeMany`].
    pub fn consume_many_at_once(
        &self,
        queue: QueueId,
        max: u32,
        auto_ack: bool,
        taken: &mut Vec<model::Delivery>,
    ) -> Result<()> {
        if !self.has_short_ways() {
            return Ok(());
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| {
                let session = state.session;
                let engine = &mut state.engine;
                engine.consume_many_at_once(now, queue, session, max, auto_ack, taken)
            },
            now,
        )
    }

    /// Has the lease of a delivery renewed by itself, or not any more. Always answered at once. The short way of [`Command::Keep`].
    #[inline]
    pub fn keep(&self, token: Token, kept: bool) -> Result<()> {
        let mut state = self.shared.lock();
        let kept = match state.closed {
            true => Err(closed()),
            false => state.engine.keep_at_once(token, kept),
        };
        drop(state);
        if !self.shared.ring.is_empty() {
            self.shared.empty_ring();
        }
        kept
    }

    /// Acks a delivery if that can be answered at once; false: hand it in as a command. The short way of [`Command::Ack`].
    #[inline]
    pub fn ack_at_once(&self, token: Token) -> Result<bool> {
        if !self.has_short_ways() {
            return Ok(false);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(|state| state.engine.ack_at_once(now, token), now)
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn at_once<T>(&self, act: impl FnOnce(&mut State) -> Result<T>, now: Time) -> Result<T> {
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        self.shared.drain_ring(&mut state, now, &mut woken);
        if state.closed {
            return Err(closed());
        }
        let result = act(&mut state);
        state.pump(now, &mut woken);
        self.release(state, woken);
        result
    }

    /// Has the store's thread do what the disk is needed for. Only for calls whose [`Pending::needs_work`] said so; every other way does it by itself.
    pub fn work_on(&self) {
        self.shared.worker.wake();
    }

    /// Hands a command to whoever has the lock next, for finalisers and signal handlers: its answer is dropped. Never waits, unless the ring is full.
    pub fn post(&self, command: Command) {
        if let Err(command) = self.shared.ring.push(command) {
            let _ = self.start(command);
            return;
        }
        self.shared.empty_ring();
    }

    /// Closes the broker: everything that was accepted is made safe, who still waits gets `Closed`, later calls too. Closing twice is closing once.
    pub fn close(&self) {
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        self.shared.closed.store(true, Ordering::Release);
        state.close_session(self.shared.clock.now(), &mut woken);
        state.closed = true;
        while state.disk.is_under_way() {
            let idle = self.shared.idle.wait(state);
            state = idle.unwrap_or_else(PoisonError::into_inner);
        }
        state.settle(self.shared.clock.now(), &mut woken);
        let engine = state.close(&mut woken);
        drop(state);
        drop(engine);
        deliver(woken);
        self.shared.watch.disarm_all();
        self.shared.watch.tell();
    }

    /// The broker and all queues in numbers, of one moment.
    pub(super) fn snapshot(&self) -> (Result<Reply>, Result<Reply>) {
        self.with_state(|state, now, woken| {
            if state.closed {
                return (Err(closed()), Err(closed()));
            }
            (
                state.ask(now, Command::BrokerStats, woken),
                state.ask(now, Command::Queues, woken),
            )
        })
    }

    /// Does something to the state, then what every use of the lock ends with.
    pub(super) fn with_state<T>(
        &self,
        act: impl FnOnce(&mut State, Time, &mut Vec<Delivery>) -> T,
    ) -> T {
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        let now = self.shared.clock.now();
        self.shared.drain_ring(&mut state, now, &mut woken);
        let result = act(&mut state, now, &mut woken);
        self.shared.closed.store(state.closed, Ordering::Release);
        self.shared
            .session
            .store(state.session.0, Ordering::Relaxed);
        self.release(state, woken);
        result
    }

    /// Opens the lock: the timer knows what falls due, who was served is woken, nothing stays in the ring, and somebody does what the disk is needed for.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn release(&self, state: MutexGuard<'_, State>, woken: Vec<Delivery>) {
        let has_job = state.disk.has_job();
        self.open_lock(state, woken);
        if has_job {
            self.shared.worker.wake();
        }
    }

    /// The same, by who does himself what the disk is needed for.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn open_lock(&self, state: MutexGuard<'_, State>, woken: Vec<Delivery>) {
        if self.shared.clock.is_real() {
            let due = state.due();
            self.shared.timer.set(due, || Arc::downgrade(&self.shared));
        }
        drop(state);
        if !woken.is_empty() {
            self.shared.deliver(woken);
        }
        if !self.shared.ring.is_empty() {
            self.shared.empty_ring();
        }
    }
}

/// Brings results to who waits for them; gives back those that nobody wants any more.
fn deliver(woken: Vec<Delivery>) -> Vec<Result<Reply>> {
    woken
        .into_iter()
        .filter_map(|(mailbox, result)| mailbox.fill(result))
        .collect()
}

impl Shared {
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of the engine; what it left is still checked by every command.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn drain_ring(&self, state: &mut State, now: Time, woken: &mut Vec<Delivery>) {
        if !self.ring.is_empty() {
            while let Some(command) = self.ring.pop() {
                state.handle_posted(now, command, woken);
            }
        }
    }

    /// Empties the ring if the lock is free. If it is not, its holder looks at the ring once he has opened it.
    fn empty_ring(&self) {
        while !self.ring.is_empty() {
            let mut state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let mut woken = Vec::new();
            let now = self.clock.now();
            self.drain_ring(&mut state, now, &mut woken);
            self.unlock(state, woken);
        }
    }

    /// Opens the lock where no timer is to be set.
    fn unlock(&self, state: MutexGuard<'_, State>, woken: Vec<Delivery>) {
        let has_job = state.disk.has_job();
        drop(state);
        if has_job {
            self.worker.wake();
        }
        self.deliver(woken);
    }

    fn deliver(&self, woken: Vec<Delivery>) {
        for unwanted in deliver(woken) {
            let mut woken = Vec::new();
            let mut state = self.lock();
            let now = self.clock.now();
            state.give_back(now, unwanted);
            state.pump(now, &mut woken);
            self.unlock(state, woken);
        }
    }

    /// Does what the disk is needed for, with the lock free, until there is nothing that nobody does yet, or until `enough`; what is left then others do.
    pub(super) fn work(&self, enough: impl Fn() -> bool) {
        let mut state = self.lock();
        while let Some(job) = state.disk.work().and_then(Work::next) {
            // Somebody may do something else meanwhile.
            drop(state);
            let done = job.execute();
            let mut woken = Vec::new();
            state = self.lock();
            let now = self.clock.now();
            state.finish(done, now, &mut woken);
            self.timer.bring(state.due());
            if state.closed {
                self.idle.notify_all();
            }
            if !woken.is_empty() {
                drop(state);
                self.deliver(woken);
                state = self.lock();
            }
            if enough() {
                break;
            }
        }
        self.unlock(state, Vec::new());
    }

    /// Fires what is due and says when to look again; `sleeps` hears it while the lock is held, so that no earlier time is missed.
    pub fn fire_timers(&self, sleeps: impl FnOnce(Time)) -> Time {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let now = self.clock.now();
        self.drain_ring(&mut state, now, &mut woken);
        state.engine.advance(now);
        state.pump(now, &mut woken);
        state.expire_requests(now, &mut woken);
        let due = state.due();
        sleeps(due);
        self.unlock(state, woken);
        due
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let now = self.clock.now();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut nobody = Vec::new();
        state.close_session(now, &mut nobody);
        state.settle(now, &mut nobody);
        self.timer.wake();
        self.worker.wake();
        self.watch.end();
    }
}
