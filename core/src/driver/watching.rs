//! Watching a broker: lines for a log, and alarms. Both are called from a thread of their own, which is started when first needed: no lock is held, no caller waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use crate::engine::{Command, Notice, Reply};
use crate::model::limits::{ALARM_LOOK_MS, ALARMS_MAX, ALERTS_MAX, NOTICE_MS, NOTICES_MAX};
use crate::model::{Error, QueueOptions, QueueStats, Result, SessionId, Span, Time};

use super::Broker;
use super::broker::Shared;
use super::state::State;

/// Called for every notice.
pub(super) type Sink = Box<dyn Fn(&Notice) + Send + Sync>;
type Call = Arc<dyn Fn(&Alert) + Send + Sync>;

/// When an alarm calls. Of the conditions that are given, each calls by itself, for each queue by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// Which queue; `None`: every one.
    pub queue: Option<String>,
    /// The queue has more messages than this.
    pub above: Option<u64>,
    /// The oldest ready message is older than this.
    pub older_than: Option<Span>,
    /// Messages were dead-lettered since the last look.
    pub dead_letters: bool,
}

/// Which condition became true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// [`Alarm::above`].
    Above,
    /// [`Alarm::older_than`]; value and limit are milliseconds.
    OlderThan,
    /// [`Alarm::dead_letters`]; the limit is 0.
    DeadLetters,
}

/// What an alarm is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The queue.
    pub queue: String,
    /// What became true.
    pub condition: Condition,
    /// What was found.
    pub value: u64,
    /// What it went over.
    pub limit: u64,
}

struct Armed {
    alarm: Alarm,
    call: Call,
    /// What is true since it was called.
    on: BTreeSet<(String, Condition)>,
    /// Dead letters of each queue at the last look.
    seen: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Inside {
    last: u64,
    alarms: BTreeMap<u64, Armed>,
    alerts: Vec<(u64, Call, Alert)>,
    notices: Vec<Notice>,
}

/// What is watched, and the thread that tells.
#[derive(Default)]
pub(super) struct Watch {
    inside: Mutex<Inside>,
    thread: OnceLock<Thread>,
    sink: OnceLock<Sink>,
    /// Held while the sink is called.
    turn: Mutex<()>,
    /// Who calls it.
    teller: Mutex<Option<ThreadId>>,
    /// Where the thread's handle to the broker comes from.
    shared: OnceLock<Weak<Shared>>,
    /// Whether there are alarms, so that who has none never asks for the lock.
    is_armed: AtomicBool,
}

impl Watch {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Callbacks run without it; what is done under it leaves nothing half-written.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn belongs_to(&self, shared: Weak<Shared>) {
        let _ = self.shared.set(shared);
    }

    /// Something to tell. Called with the engine's lock held: it is put down, nothing more.
    #[cold]
    pub fn note(&self, notice: Notice) {
        let mut inside = self.inside();
        let same = |other: &&mut Notice| other.what == notice.what && other.queue == notice.queue;
        if let Some(other) = inside.notices.iter_mut().find(same) {
            other.count += notice.count;
        } else if inside.notices.len() < NOTICES_MAX {
            inside.notices.push(notice);
        }
        drop(inside);
        self.wake();
    }

    fn wake(&self) {
        if let Some(shared) = self.shared.get() {
            self.thread.get_or_init(|| start(shared.clone())).unpark();
        }
    }

    /// The broker is gone: the thread may end.
    pub fn end(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Tells what was noticed and not told yet. When it returns all of it was told, whoever told it; but the sink may close the broker from inside.
    pub fn tell(&self) {
        let me = thread::current().id();
        if *self.teller() == Some(me) {
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.teller() = Some(me);
        let notices = std::mem::take(&mut self.inside().notices);
        if let Some(sink) = self.sink.get() {
            notices.iter().for_each(sink);
        }
        *self.teller() = None;
    }

    fn teller(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_notices(&self) -> bool {
        !self.inside().notices.is_empty()
    }

    /// Calls whose condition became true.
    fn call(&self) {
        loop {
            let mut inside = self.inside();
            if inside.alerts.is_empty() {
                return;
            }
            let (id, call, alert) = inside.alerts.remove(0);
            let is_armed = inside.alarms.contains_key(&id);
            drop(inside);
            if is_armed {
                call(&alert);
            }
        }
    }

    pub fn disarm_all(&self) {
        let mut inside = self.inside();
        self.is_armed.store(false, Ordering::Release);
        let alarms = std::mem::take(&mut inside.alarms);
        let alerts = std::mem::take(&mut inside.alerts);
        drop(inside);
        drop((alarms, alerts));
    }

    /// Which queues the alarms ask for; `None` among them: every one.
    fn wanted(&self) -> BTreeSet<Option<String>> {
        let inside = self.inside();
        let queues = inside.alarms.values();
        queues.map(|armed| armed.alarm.queue.clone()).collect()
    }

    fn judge(&self, queues: &[QueueStats]) {
        let mut inside = self.inside();
        let Inside { alarms, alerts, .. } = &mut *inside;
        for (id, armed) in alarms {
            let room = ALERTS_MAX.saturating_sub(alerts.len());
            let call = Arc::clone(&armed.call);
            let fired = armed.judge(queues).into_iter().take(room);
            alerts.extend(fired.map(|alert| (*id, Arc::clone(&call), alert)));
        }
        let some = !alerts.is_empty();
        drop(inside);
        if some {
            self.wake();
        }
    }
}

impl Armed {
    /// What became true, queue by queue.
    fn judge(&mut self, queues: &[QueueStats]) -> Vec<Alert> {
        let mut fired = Vec::new();
        let mut on = BTreeSet::new();
        let mut seen = BTreeMap::new();
        let own = self.alarm.queue.as_deref();
        for queue in queues
            .iter()
            .filter(|queue| own.is_none_or(|own| own == queue.name))
        {
            let before = self.seen.get(&queue.name).copied().unwrap_or(0);
            seen.insert(queue.name.clone(), queue.dead_lettered);
            let dead = queue.dead_lettered.saturating_sub(before);
            let conditions = [
                (Condition::Above, self.alarm.above, queue.size),
                (
                    Condition::OlderThan,
                    self.alarm.older_than.map(|span| span.0),
                    queue.oldest_age,
                ),
                (
                    Condition::DeadLetters,
                    self.alarm.dead_letters.then_some(0),
                    dead,
                ),
            ];
            for (condition, limit, value) in conditions {
                let Some(limit) = limit.filter(|limit| value > *limit) else {
                    continue;
                };
                let key = (queue.name.clone(), condition);
                if !self.on.contains(&key) {
                    fired.push(Alert {
                        queue: queue.name.clone(),
                        condition,
                        value,
                        limit,
                    });
                }
                on.insert(key);
            }
        }
        self.on = on;
        self.seen = seen;
        fired
    }
}

/// An alarm that is set. It stays when this is dropped; `cancel` ends it.
#[derive(Clone)]
pub struct AlarmHandle {
    broker: Broker,
    id: u64,
}

impl AlarmHandle {
    /// No call begins any more; one may still run. Twice is once.
    pub fn cancel(&self) {
        let watch = &self.broker.shared.watch;
        let mut inside = watch.inside();
        let gone = inside.alarms.remove(&self.id);
        watch
            .is_armed
            .store(!inside.alarms.is_empty(), Ordering::Release);
        drop(inside);
        drop(gone);
    }
}

impl Broker {
    /// Tells every notice to `sink`, from a thread of its own, the same of one queue at most once a second ([`NOTICE_MS`]) and with their number. The first sink stays.
    pub fn on_notice(&self, sink: impl Fn(&Notice) + Send + Sync + 'static) {
        let _ = self.shared.watch.sink.set(Box::new(sink));
        self.with_state(|state, _, _| {
            state.config.notices = true;
            state.engine.tell_notices(true);
        });
    }

    /// Calls `call` once when a condition becomes true, from a thread of its own; again only after it was false. The broker is looked at every 100 ms ([`ALARM_LOOK_MS`]); with a
    /// clock that is moved by hand, whenever it is moved.
    /// Errors: `InvalidArgument` without a condition, `Closed`.
    ///
    /// ```
    /// use ferrymq_core::driver::{Alarm, Broker, Options};
    /// let broker = Broker::open(Options::default())?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let alarm = Alarm { above: Some(1), ..Alarm::default() };
    /// broker.alarm(alarm, move |alert| { let _ = tell.send(alert.queue.clone()); })?;
    /// let queue = broker.queue("orders", Default::default())?;
    /// queue.produce("one")?;
    /// queue.produce("two")?;
    /// assert_eq!(told.recv().unwrap(), "orders");
    /// # Ok::<(), ferrymq_core::model::Error>(())
    /// ```
    pub fn alarm(
        &self,
        alarm: Alarm,
        call: impl Fn(&Alert) + Send + Sync + 'static,
    ) -> Result<AlarmHandle> {
        if alarm.above.is_none() && alarm.older_than.is_none() && !alarm.dead_letters {
            return Err(Error::invalid(
                "the alarm has no condition; pass above, older_than or dead_letters",
            ));
        }
        if self.is_closed() {
            return Err(super::state::closed());
        }
        let queues = self.with_state(|state, now, woken| stats_of(state, now, woken, None));
        let seen = queues
            .into_iter()
            .map(|queue| (queue.name, queue.dead_lettered));
        let armed = Armed {
            alarm,
            call: Arc::new(call),
            on: BTreeSet::new(),
            seen: seen.collect(),
        };
        let watch = &self.shared.watch;
        let mut inside = watch.inside();
        if inside.alarms.len() >= ALARMS_MAX {
            return Err(Error::invalid(format!(
                "{ALARMS_MAX} alarms are set already, the most that may; cancel some"
            )));
        }
        inside.last += 1;
        let id = inside.last;
        inside.alarms.insert(id, armed);
        watch.is_armed.store(true, Ordering::Release);
        drop(inside);
        watch.wake();
        Ok(AlarmHandle {
            broker: self.clone(),
            id,
        })
    }

    /// Looks at what the alarms watch.
    pub(super) fn look(&self) {
        let watch = &self.shared.watch;
        if !watch.is_armed.load(Ordering::Acquire) {
            return;
        }
        let wanted = watch.wanted();
        let queues = self.with_state(|state, now, woken| {
            if state.closed {
                return Vec::new();
            }
            if wanted.contains(&None) {
                return stats_of(state, now, woken, None);
            }
            let named = wanted.iter().flatten();
            named
                .flat_map(|name| stats_of(state, now, woken, Some(name)))
                .collect()
        });
        watch.judge(&queues);
    }
}

/// The queues in numbers, or one of them; nothing where it does not exist.
fn stats_of(
    state: &mut State,
    now: Time,
    woken: &mut Vec<super::state::Delivery>,
    name: Option<&str>,
) -> Vec<QueueStats> {
    let Some(name) = name else {
        return match state.ask(now, Command::Queues, woken) {
            Ok(Reply::Queues(queues)) => queues,
            _ => Vec::new(),
        };
    };
    let options = QueueOptions::default();
    let named = Command::DeclareQueue {
        name: name.to_owned(),
        options,
        create: false,
        session: SessionId::NOBODY,
    };
    let Ok(Reply::Queue(queue)) = state.ask(now, named, woken) else {
        return Vec::new();
    };
    match state.ask(now, Command::Stats { queue }, woken) {
        Ok(Reply::Stats(stats)) => vec![*stats],
        _ => Vec::new(),
    }
}

fn start(shared: Weak<Shared>) -> Thread {
    let spawned = thread::Builder::new()
        .name("ferrymq-watch".to_owned())
        .spawn(move || run(&shared));
    match spawned {
        Ok(handle) => handle.thread().clone(),
        // Without a thread nothing is told; closing the broker still tells what was noticed.
        Err(_) => thread::current(),
    }
}

fn run(shared: &Weak<Shared>) {
    let mut told: Option<Instant> = None;
    let mut looked: Option<Instant> = None;
    let after = |then: Option<Instant>, span: Span| {
        then.map_or(Duration::ZERO, |then| {
            Duration::from_millis(span.0).saturating_sub(then.elapsed())
        })
    };
    while let Some(shared) = shared.upgrade() {
        let broker = Broker::of(shared);
        let watch = &broker.shared.watch;
        let mut wait: Option<Duration> = None;
        if broker.shared.clock.is_real() && watch.is_armed.load(Ordering::Acquire) {
            if after(looked, ALARM_LOOK_MS).is_zero() {
                broker.look();
                looked = Some(Instant::now());
            }
            wait = Some(after(looked, ALARM_LOOK_MS));
        }
        watch.call();
        if watch.has_notices() {
            if after(told, NOTICE_MS).is_zero() {
                watch.tell();
                told = Some(Instant::now());
            } else {
                let left = after(told, NOTICE_MS);
                wait = Some(wait.map_or(left, |wait| wait.min(left)));
            }
        }
        drop(broker);
        match wait {
            Some(wait) => thread::park_timeout(wait),
            None => thread::park(),
        }
    }
}
