//! A lasting session: it numbers some of its commands, sends them again within a life and after every crash, and each has to have one effect and one answer.

use ferrymq_core::engine::{Answer, Command, Engine, Reply};
use ferrymq_core::model::{
    CallId, Durability, ErrorKind, Numbered, Result as CoreResult, SessionName, Time,
};

use crate::item::{Accept, Item};
use crate::model::{Ask, Asked, Model, Verdict};
use crate::world::World;

/// The session of a world that has one.
const NAME: SessionName = SessionName(*b"a lasting one...");

/// A command that the session may send again.
#[derive(Clone, Debug)]
pub struct Sent {
    number: u64,
    command: Command,
    ask: Ask,
    /// Its first answer, if that says what became of it.
    answer: Option<CoreResult<Reply>>,
    /// No crash takes back what it did.
    is_solid: bool,
    /// A crash has come, and may have taken it back.
    may_be_lost: bool,
    /// Its message must be there, unless this command has taken it.
    alone: bool,
}

impl Sent {
    fn was_refused(&self) -> bool {
        matches!(self.answer, Some(Err(_)))
    }
}

/// Who sends again.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    last: u64,
    seen: u64,
    /// What it has not said to have seen, in order.
    sent: Vec<Sent>,
    /// Calls that wait, and for which command.
    calls: Vec<(CallId, u64)>,
}

impl Owner {
    fn find(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|sent| sent.number == number)
    }

    fn numbered(&self, number: u64) -> Numbered {
        Numbered {
            session: NAME,
            number,
            seen: self.seen,
        }
    }

    /// The commands that it has the answers of are settled, one after the other.
    fn acknowledge(&mut self) {
        while self.sent.first().is_some_and(|sent| sent.answer.is_some()) {
            self.seen = self.sent.remove(0).number;
        }
    }

    /// The command that a call waits for.
    pub fn take_call(&mut self, call: CallId) -> Option<u64> {
        let at = self.calls.iter().position(|(waits, _)| *waits == call)?;
        Some(self.calls.swap_remove(at).1)
    }
}

impl World<'_> {
    /// Begins the session, so that no crash takes it.
    pub(crate) fn begin_lasting(&mut self) -> Verdict {
        if !self.plan.lasting {
            return Ok(());
        }
        let now = Time(self.model.now);
        let _ = self.engine.begin_lasting_session(now, NAME);
        self.pump()?;
        self.owner = Some(Owner::default());
        self.settle()
    }

    /// Hands a command in: some of them with a number, where there is a session.
    pub(crate) fn hand_in_by_somebody(&mut self, command: Command, what: Asked) -> Verdict {
        let percent = if self.owner.is_some() { 60 } else { 0 };
        // Which of two messages with one dedup id came first is not known of one that may come anew.
        let once = match &what {
            Asked::Produce(items) => items
                .iter()
                .any(|item| self.model.items[*item as usize].dedup.is_some()),
            _ => false,
        };
        if once || !self.rng.percent(percent) {
            return self.hand_in(command, what);
        }
        let acknowledges = self.rng.percent(40);
        let ask = self.model.ask(what);
        let owner = self.owner.get_or_insert_default();
        if acknowledges {
            owner.acknowledge();
        }
        owner.last += 1;
        let number = owner.last;
        owner.sent.push(Sent {
            number,
            command,
            ask,
            answer: None,
            is_solid: false,
            may_be_lost: false,
            alone: false,
        });
        self.send(number)
    }

    /// A command is sent again.
    pub(crate) fn send_one_again(&mut self) -> Verdict {
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        let sent = owner.sent.iter().filter(|sent| !sent.was_refused());
        let numbers: Vec<u64> = sent.map(|sent| sent.number).collect();
        match numbers.len() {
            0 => Ok(()),
            some => {
                let nth = self.rng.below(some as u64) as usize;
                self.send(numbers[nth])
            }
        }
    }

    fn send(&mut self, number: u64) -> Verdict {
        let owner = self.owner.get_or_insert_default();
        let numbered = owner.numbered(number);
        let Some(sent) = owner.find(number) else {
            return Ok(());
        };
        let command = sent.command.clone();
        self.model.ask_again(&sent.ask);
        let now = self.model.now;
        self.say(|| format!("{now} ms: number {number}: {command:?}"));
        match self.engine.handle_numbered(Time(now), numbered, command) {
            Answer::Done(result) => self.answered_by_number(number, &result)?,
            Answer::Pending(call) => {
                self.hash.add(call.0);
                let owner = self.owner.get_or_insert_default();
                owner.calls.push((call, number));
            }
        }
        self.pump()
    }

    /// An answer: the first one is judged as any other, those that follow have to be the same.
    pub(crate) fn answered_by_number(
        &mut self,
        number: u64,
        result: &CoreResult<Reply>,
    ) -> Verdict {
        self.say(|| format!("    number {number} -> {result:?}"));
        self.hash.add(number << 1 | u64::from(result.is_ok()));
        self.model.checks += 1;
        let has_failed = self.engine.has_failed();
        let owner = self.owner.get_or_insert_default();
        let Some(sent) = owner.find(number) else {
            return Ok(());
        };
        let unknown = [ErrorKind::Indeterminate, ErrorKind::StoreFailed];
        if let Err(error) = result
            && unknown.contains(&error.kind())
        {
            return match has_failed {
                true => Ok(()),
                false => Err(format!("command {number} is not known any more: {error}")),
            };
        }
        if let Some(first) = &sent.answer {
            return match first == result {
                true => Ok(()),
                false => Err(format!(
                    "command {number} was answered {first:?}, and then {result:?}"
                )),
            };
        }
        sent.answer = Some(result.clone());
        let crossed = std::mem::take(&mut sent.may_be_lost);
        let sent = sent.clone();
        if crossed && let Asked::Ack(item, _) = sent.ask.what {
            self.ack_after_crash(number, item, sent.alone, result)?;
            if self.model.items[item as usize].level == Durability::Memory {
                // What it ended is gone; another may have come in its place.
                return Ok(());
            }
        }
        self.model.told(&sent.ask, result)
    }

    /// The ack of an earlier life was done, and then its message is gone; or it was not.
    fn ack_after_crash(
        &mut self,
        number: u64,
        item: u32,
        alone: bool,
        result: &CoreResult<Reply>,
    ) -> Verdict {
        let item = &self.model.items[item as usize];
        match result {
            Ok(_) if item.solid && !item.gone && !item.may_go && item.removal.is_none() => {
                Err(format!(
                    "ack {number} was done before the crash, and message {} is there",
                    item.name
                ))
            }
            Err(_) if alone && item.gone => Err(format!(
                "message {} was acked by command {number}, which does not know it",
                item.name
            )),
            _ => {
                if let Some(sent) = self.owner.as_mut().and_then(|owner| owner.find(number)) {
                    sent.is_solid = result.is_ok();
                }
                Ok(())
            }
        }
    }

    /// What the session was promised of an opening: what no crash may take gets its first answer.
    pub(crate) fn judge_lasting(&self, engine: &mut Engine, now: u64, power: bool) -> Verdict {
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        for sent in &owner.sent {
            if !self.model.keeps_outcome(sent, power) {
                continue;
            }
            let Some(first) = &sent.answer else {
                continue;
            };
            let numbered = owner.numbered(sent.number);
            let command = sent.command.clone();
            let again = engine.handle_numbered(Time(now), numbered, command);
            if again != Answer::Done(first.clone()) {
                return Err(format!(
                    "command {} was answered {first:?}, and after a crash {again:?}",
                    sent.number
                ));
            }
        }
        Ok(())
    }

    /// What the crash that goes on may have taken from the session, before what it left is known.
    pub(crate) fn foresee_lasting(&mut self, power: bool) {
        let Some(owner) = &mut self.owner else {
            return;
        };
        owner.calls.clear();
        for sent in &mut owner.sent {
            sent.is_solid = self.model.keeps_outcome(sent, power);
            sent.may_be_lost = !sent.is_solid && !sent.was_refused();
            sent.alone = match sent.ask.what {
                Asked::Ack(item, _) => self.model.is_acked_alone(item, power),
                _ => false,
            };
        }
    }

    /// After a crash everything is sent again that is not surely seen.
    pub(crate) fn send_all_again(&mut self) -> Verdict {
        let Some(owner) = &mut self.owner else {
            return Ok(());
        };
        let mut numbers = Vec::new();
        for sent in owner.sent.iter_mut().filter(|sent| !sent.was_refused()) {
            numbers.push(sent.number);
            if sent.may_be_lost {
                sent.answer = None;
                if let Asked::Produce(items) = &sent.ask.what {
                    self.model.may_come_again(items);
                }
            }
        }
        for number in numbers {
            self.send(number)?;
        }
        Ok(())
    }
}

impl Model {
    /// Whether a crash must leave the outcome of a command, because it must leave what it did.
    fn keeps_outcome(&self, sent: &Sent, power: bool) -> bool {
        if !matches!(sent.answer, Some(Ok(_))) {
            return false;
        }
        let item = |index: &u32| &self.items[*index as usize];
        sent.is_solid
            || match &sent.ask.what {
                Asked::Produce(items) => items
                    .iter()
                    .any(|index| item(index).must_stay(power, self.through)),
                Asked::Ack(index, _) => item(index).is_removed(power, self.through),
                _ => false,
            }
    }

    /// Whether a message can only be gone because of the one ack that was asked for.
    fn is_acked_alone(&self, index: u32, power: bool) -> bool {
        let item = &self.items[index as usize];
        let asked = item.removal.map_or(0, |removal| match removal.told {
            Some(_) => removal.asked + 1,
            None => removal.asked,
        });
        asked == 1 && item.must_stay(power, self.through) && !self.may_have_left(item)
    }

    /// Whether a message may have left for a reason other than an ack.
    fn may_have_left(&self, item: &Item) -> bool {
        item.may_go || item.may_die || item.moved || self.may_have_expired(item)
    }

    /// Messages are produced again by somebody who does not know whether they were. What is not there after the crash was never there, unless it may have left: then it is there now.
    fn may_come_again(&mut self, items: &[u32]) {
        let mut anew = None;
        for &index in items {
            let item = &self.items[index as usize];
            // It was seen to be there.
            if !item.gone && !item.may_go {
                continue;
            }
            let may_go = item.removal.is_some()
                || item.level == Durability::Memory
                || !item.gone
                || self.may_have_left(item);
            let (now, slot) = (self.now, item.slot);
            let item = &mut self.items[index as usize];
            if item.gone {
                self.live.push(index);
            }
            item.comes_anew(now, may_go);
            anew = Some(item.group);
            self.make_room(slot);
        }
        self.open_groups.extend(anew);
    }
}

impl Item {
    /// As if it was asked for now for the first time. One that may be there unseen may also be as it was.
    fn comes_anew(&mut self, now: u64, may_go: bool) {
        // The clock may have gone back since.
        let due = if self.delay > 0 { now + self.delay } else { 0 };
        let lives = self.expires_min.saturating_sub(self.asked_at);
        let is_new = self.gone;
        let hides = match self.due_max {
            u64::MAX => self.back_max,
            until => self.back_max.max(until),
        };
        *self = Item {
            due_min: self.due_min.min(due),
            expires_min: self.expires_min.min(now.saturating_add(lives)),
            accept: Accept::Asked,
            id: None,
            first_id: None,
            moved: self.moved && !is_new,
            ever_moved: self.ever_moved && !is_new,
            solid: false,
            written: false,
            told: u64::MAX,
            may_go,
            may_die: self.may_die && !is_new,
            removal: None,
            gone: false,
            due_max: u64::MAX,
            back: None,
            back_max: if is_new { 0 } else { hides },
            place: self.slot,
            attempts_solid: 0,
            attempts: (0, 0),
            asked_at: now,
            told_at: u64::MAX,
            ..self.clone()
        };
    }
}
