//! The handle.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use crossbeam_queue::ArrayQueue;

use crate::engine::{Command, Config, Reply, Wait};
use crate::model::limits::{
    LEASE_MS_MAX, LEASE_MS_MIN, MEMORY_BYTES_DEFAULT, RING_COMMANDS_MAX, SEGMENT_BYTES_TESTING,
};
use crate::model::{Durability, Error, Result, SessionId, Span, Time};
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
    pub ring: ArrayQueue<Command>,
    session: AtomicU32,
    closed: AtomicBool,
    /// Where it stores; `None`: in memory.
    directory: Option<PathBuf>,
    /// How many handles a broker with a store has.
    handles: AtomicUsize,
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
pub struct Broker {
    pub(super) shared: Arc<Shared>,
}

impl Clone for Broker {
    #[inline]
    fn clone(&self) -> Broker {
        Broker::of(Arc::clone(&self.shared))
    }
}

/// With its last handle a store is closed, before anything else happens: its own threads may hold what they share a moment longer.
impl Drop for Broker {
    #[inline]
    fn drop(&mut self) {
        if self.is_stored() && self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_store();
        }
    }
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
            handles: AtomicUsize::new(0),
            files,
        });
        shared.watch.belongs_to(Arc::downgrade(&shared));
        let broker = Broker::of(shared);
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

    /// A handle to what threads share.
    #[inline]
    pub(super) fn of(shared: Arc<Shared>) -> Broker {
        if shared.directory.is_some() {
            shared.handles.fetch_add(1, Ordering::Relaxed);
        }
        Broker { shared }
    }

    #[inline]
    pub(super) fn is_stored(&self) -> bool {
        self.shared.directory.is_some()
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
        state = self.settle(state, &mut woken);
        let engine = state.close(&mut woken);
        drop(state);
        drop(engine);
        deliver(woken);
        self.shared.watch.disarm_all();
        self.shared.watch.tell();
    }

    /// Makes everything safe that was accepted and closes the log, once nobody works on the disk any more.
    fn settle<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        woken: &mut Vec<Delivery>,
    ) -> MutexGuard<'a, State> {
        state.close_session(self.shared.clock.now(), woken);
        state.closed = true;
        while state.disk.is_under_way() {
            let idle = self.shared.idle.wait(state);
            state = idle.unwrap_or_else(PoisonError::into_inner);
        }
        state.settle(self.shared.clock.now(), woken);
        state
    }

    /// What is left to do with the last handle.
    #[cold]
    fn close_store(&self) {
        // In a forked child the store is the parent's, and a lock may be held by a thread that is not here.
        if self
            .shared
            .files
            .upgrade()
            .is_some_and(|files| files.is_ours())
        {
            self.close();
        }
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
    pub(super) fn release(&self, state: MutexGuard<'_, State>, woken: Vec<Delivery>) {
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
    pub(super) fn drain_ring(&self, state: &mut State, now: Time, woken: &mut Vec<Delivery>) {
        if !self.ring.is_empty() {
            while let Some(command) = self.ring.pop() {
                state.handle_posted(now, command, woken);
            }
        }
    }

    /// Empties the ring if the lock is free. If it is not, its holder looks at the ring once he has opened it.
    pub(super) fn empty_ring(&self) {
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
        self.timer.wake();
        self.worker.wake();
        self.watch.end();
    }
}
