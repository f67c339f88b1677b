//! Requests and their replies. All replies of a broker come to one queue, made when first needed, which the driver itself listens on: whoever puts a reply there brings it, still under the
//! lock, to the request that its correlation id names. No thread stands between.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use crate::engine::{Answer, Command, Notice, Noticed, Reply, Wait};
use crate::model::limits::{REPLIES_EXPIRE_MS, WAITING_CALLS_MAX};
use crate::model::{
    CallId, DeadLetter, Delivery, Durability, Error, ErrorKind, Message, MessageId, Outgoing,
    Properties, QueueId, QueueOptions, Result, Span, Time,
};

use super::pending::{Mailbox, Pending};
use super::state::{self, State, closed};
use super::{Broker, Consumed, Queue, random_name};

/// What the queues of replies are called before their random part.
const PREFIX: &str = "ferrymq.reply.";

/// Who waits for replies.
pub(super) struct Requests {
    name: String,
    queue: QueueId,
    /// The call that takes the next reply; `None` when the queue was deleted.
    listening: Option<CallId>,
    last: u64,
    waiting: HashMap<u64, (Weak<Mailbox>, Time)>,
    deadlines: BTreeSet<(Time, u64)>,
    /// So many entries are looked through for those that nobody waits for any more.
    sweep_at: usize,
}

impl Requests {
    pub fn due(&self) -> Time {
        self.deadlines.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    pub fn waiting(&self) -> impl Iterator<Item = Arc<Mailbox>> {
        self.waiting
            .values()
            .filter_map(|(mailbox, _)| mailbox.upgrade())
    }

    fn take(&mut self, id: u64) -> Option<Arc<Mailbox>> {
        let (mailbox, deadline) = self.waiting.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        mailbox.upgrade()
    }

    /// A request that was given up leaves its entry behind: giving up takes no lock.
    fn sweep(&mut self) {
        let deadlines = &mut self.deadlines;
        self.waiting.retain(|id, (mailbox, deadline)| {
            let stays = mailbox.strong_count() > 0;
            if !stays {
                deadlines.remove(&(*deadline, *id));
            }
            stays
        });
        self.sweep_at = (self.waiting.len() * 2).max(64);
    }
}

/// What a request carries, so that its reply finds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The queue that the reply goes to.
    pub queue: QueueId,
    /// Its name.
    pub reply_to: String,
    /// What the reply repeats.
    pub correlation_id: String,
    /// As long as somebody waits, so long the request lives.
    pub ttl: Option<Span>,
}

impl Asked {
    /// Puts it on the message.
    #[must_use]
    pub fn on(self, mut message: Outgoing) -> Outgoing {
        let properties = message.properties.as_deref().cloned().unwrap_or_default();
        message.properties = Some(Arc::new(Properties {
            reply_to: Some(self.reply_to),
            correlation_id: Some(self.correlation_id),
            ..properties
        }));
        message.ttl = match (message.ttl, self.ttl) {
            (Some(own), Some(wait)) => Some(own.min(wait)),
            (own, wait) => own.or(wait),
        };
        message
    }
}

impl State {
    pub fn listens_with(&self, call: CallId) -> bool {
        self.requests
            .as_ref()
            .is_some_and(|requests| requests.listening == Some(call))
    }

    /// A reply has come, or the queue of replies is gone. Brings it to its request and listens again.
    pub fn route_replies(
        &mut self,
        now: Time,
        result: Result<Reply>,
        woken: &mut Vec<state::Delivery>,
    ) {
        let mut next = result;
        while let Ok(Reply::Delivery(Some(delivery))) = next {
            self.route(delivery, woken);
            next = match self.listen(now) {
                Answer::Done(result) => result,
                Answer::Pending(call) => {
                    if let Some(requests) = &mut self.requests {
                        requests.listening = Some(call);
                    }
                    return;
                }
            };
        }
        if let Some(requests) = &mut self.requests {
            requests.listening = None;
        }
    }

    fn listen(&mut self, now: Time) -> Answer {
        let queue = self.requests.as_ref().map_or(
            QueueId {
                index: u32::MAX,
                generation: 0,
            },
            |requests| requests.queue,
        );
        let consume = Command::Consume {
            queue,
            session: self.session,
            auto_ack: true,
            wait: Wait::Forever,
        };
        self.engine.handle(now, consume)
    }

    fn route(&mut self, delivery: Delivery, woken: &mut Vec<state::Delivery>) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        let properties = delivery.message.properties.as_deref();
        let named = properties.and_then(|properties| properties.correlation_id.as_deref());
        let request = named.and_then(|id| id.parse().ok());
        match request.and_then(|id| requests.take(id)) {
            Some(mailbox) => woken.push((mailbox, Ok(Reply::Delivery(Some(delivery))))),
            None => self.watch.note(Notice {
                queue: requests.name.clone(),
                what: Noticed::Stray,
                count: 1,
            }),
        }
    }

    /// Requests that have waited long enough.
    pub fn expire_requests(&mut self, now: Time, woken: &mut Vec<state::Delivery>) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        while let Some((at, id)) = requests.deadlines.first().copied()
            && at <= now
        {
            if let Some(mailbox) = requests.take(id) {
                woken.push((mailbox, Err(unanswered())));
            }
        }
    }

    /// The queue of replies, listened on. Nobody waits until it is durable: it need not outlive this broker.
    fn open_replies(&mut self, now: Time, woken: &mut Vec<state::Delivery>) -> Result<()> {
        if self
            .requests
            .as_ref()
            .is_some_and(|requests| requests.listening.is_some())
        {
            return Ok(());
        }
        let name = match &self.requests {
            Some(requests) => requests.name.clone(),
            None => random_name(PREFIX),
        };
        let options = QueueOptions {
            durability: Some(Some(Durability::Memory)),
            dead_letter: Some(DeadLetter::Off),
            // Not exclusive: who replies may be another session. It ends when nobody listens any more.
            expires: Some(Some(REPLIES_EXPIRE_MS)),
            ..QueueOptions::default()
        };
        let session = self.session;
        let declare = |create| Command::DeclareQueue {
            name: name.clone(),
            options: options.clone(),
            create,
            session,
        };
        if let Err((call, _)) = self.handle(now, declare(true), woken) {
            self.mailboxes.remove(&call);
        }
        let Reply::Queue(queue) = self.ask(now, declare(false), woken)? else {
            return Err(unanswered());
        };
        match &mut self.requests {
            Some(requests) => requests.queue = queue,
            None => {
                self.requests = Some(Box::new(Requests {
                    name,
                    queue,
                    listening: None,
                    last: 0,
                    waiting: HashMap::new(),
                    deadlines: BTreeSet::new(),
                    sweep_at: 64,
                }));
            }
        }
        match self.listen(now) {
            Answer::Pending(call) => {
                if let Some(requests) = &mut self.requests {
                    requests.listening = Some(call);
                }
                self.pump(now, woken);
            }
            Answer::Done(result) => self.route_replies(now, result, woken),
        }
        Ok(())
    }

    fn begin_request(
        &mut self,
        now: Time,
        timeout: Option<Span>,
        deadline: Time,
        woken: &mut Vec<state::Delivery>,
    ) -> Result<(Asked, Arc<Mailbox>)> {
        if self.closed {
            return Err(closed());
        }
        self.open_replies(now, woken)?;
        let requests = self.requests.as_mut().ok_or_else(unanswered)?;
        if requests.waiting.len() >= requests.sweep_at {
            requests.sweep();
        }
        if requests.waiting.len() >= WAITING_CALLS_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{WAITING_CALLS_MAX} requests wait already, the most that may; try again"),
            ));
        }
        requests.last += 1;
        let mailbox = Arc::new(Mailbox::default());
        requests
            .waiting
            .insert(requests.last, (Arc::downgrade(&mailbox), deadline));
        if deadline < Time::NEVER {
            requests.deadlines.insert((deadline, requests.last));
        }
        let asked = Asked {
            queue: requests.queue,
            reply_to: requests.name.clone(),
            correlation_id: requests.last.to_string(),
            ttl: timeout,
        };
        Ok((asked, mailbox))
    }
}

#[cold]
fn unanswered() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "no reply came within the timeout; see that a consumer of that queue runs and replies, or wait longer",
    )
}

impl Broker {
    /// Begins a request: what its message must carry, and where its reply comes ([`Reply::Delivery`], settled). A timeout of `None` waits for ever.
    /// Errors of the reply: `Unavailable` when none came in time.
    pub fn begin_request(&self, timeout: Option<Span>) -> Result<(Asked, Pending)> {
        let deadline = match self.wait(timeout) {
            Wait::No => self.now(),
            Wait::Until(at) => at,
            Wait::Forever => Time::NEVER,
        };
        let (asked, mailbox) = self
            .with_state(|state, now, woken| state.begin_request(now, timeout, deadline, woken))?;
        Ok((asked, Pending::of_request(self.clone(), mailbox)))
    }

    /// Answers a message: puts `message` on the queue that it names in `reply_to`, with its correlation id.
    /// Errors: `InvalidArgument` without a `reply_to`, `NotFound` when that queue is gone.
    pub fn reply(&self, to: &Message, mut message: Outgoing) -> Result<MessageId> {
        let (queue, properties) = self.reply_queue(to, message.properties.as_deref())?;
        message.properties = Some(properties);
        queue.produce(message)
    }

    /// Where a reply goes, and the properties that it has there.
    pub fn reply_queue(
        &self,
        to: &Message,
        own: Option<&Properties>,
    ) -> Result<(Queue, Arc<Properties>)> {
        let asked = to.properties.as_deref();
        let Some((asked, name)) = asked.and_then(|asked| Some((asked, asked.reply_to.as_ref()?)))
        else {
            return Err(Error::invalid(
                "the message has no reply_to: nobody waits for a reply; send it with queue.request(), or name a queue in reply_to",
            ));
        };
        let properties = Properties {
            correlation_id: asked.correlation_id.clone(),
            ..own.cloned().unwrap_or_default()
        };
        Ok((self.existing_queue(name)?, Arc::new(properties)))
    }
}

impl Queue {
    /// Sends a message and waits for its reply. The request lives as long as somebody waits for it.
    /// Errors: those of `produce`; `Unavailable` when no reply came in time.
    ///
    /// ```
    /// use ferrymq_core::driver::{Broker, Options};
    /// use ferrymq_core::model::Span;
    /// let broker = Broker::open(Options::default())?;
    /// let sums = broker.queue("sums", Default::default())?;
    /// let server = sums.clone();
    /// let thread = std::thread::spawn(move || {
    ///     let request = server.consume(None)?.expect("it waits for ever");
    ///     request.reply("2")?;
    ///     request.ack()
    /// });
    /// assert_eq!(&*sums.request("1 + 1", Some(Span(5000)))?.body, b"2");
    /// thread.join().unwrap()
    /// # ; Ok::<(), ferrymq_core::model::Error>(())
    /// ```
    pub fn request(&self, message: impl Into<Outgoing>, timeout: Option<Span>) -> Result<Message> {
        let (asked, pending) = self.broker().begin_request(timeout)?;
        self.produce(asked.on(message.into()))?;
        match pending.wait()? {
            Reply::Delivery(Some(delivery)) => Ok(delivery.message),
            _ => Err(unanswered()),
        }
    }
}

impl Consumed {
    /// Answers the message; it is still to be settled. Errors: `InvalidArgument` without a `reply_to`, `NotFound` when who asked is gone.
    pub fn reply(&self, message: impl Into<Outgoing>) -> Result<MessageId> {
        self.broker().reply(self.message(), message.into())
    }
}
