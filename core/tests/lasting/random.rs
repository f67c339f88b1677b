//! Random commands of two sessions, sent again within a life and all of them after each kill and power cut, against a plain list of what was sent and answered.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq_core::engine::{Command, Reply, Wait};
use ferrymq_core::model::{
    CallId, Durability, ErrorKind, Outgoing, QueueId, QueueOptions, Result, SessionId, SessionName,
    Token,
};
use proptest::prelude::*;

use crate::world::{World, consume, produce_as};

#[derive(Clone, Debug)]
enum Move {
    Produce(usize, Durability),
    Batch(usize, u8),
    Ack(usize, bool),
    Again(usize, prop::sample::Index),
    Seen(usize),
    Take,
    Sync,
    Pass(u64),
    Kill,
    PowerCut,
}

fn moves() -> impl Strategy<Value = Move> {
    let level = prop_oneof![
        Just(Durability::Memory),
        Just(Durability::Written),
        Just(Durability::Durable)
    ];
    let whose = 0..2_usize;
    prop_oneof![
        6 => (whose.clone(), level).prop_map(|(whose, level)| Move::Produce(whose, level)),
        2 => (whose.clone(), 1..4_u8).prop_map(|(whose, count)| Move::Batch(whose, count)),
        4 => (whose.clone(), any::<bool>()).prop_map(|(whose, durable)| Move::Ack(whose, durable)),
        5 => (whose.clone(), any::<prop::sample::Index>())
            .prop_map(|(whose, nth)| Move::Again(whose, nth)),
        2 => whose.prop_map(Move::Seen),
        4 => Just(Move::Take),
        3 => Just(Move::Sync),
        1 => (0..40_u64).prop_map(Move::Pass),
        1 => Just(Move::Kill),
        1 => Just(Move::PowerCut),
    ]
}

/// A command as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    command: Command,
    /// The bodies of what it brings.
    brings: Vec<u32>,
    /// The body of what it acks.
    acks: Option<u32>,
    level: Durability,
    calls: Vec<CallId>,
    /// Its first answer.
    answer: Option<Result<Reply>>,
    is_synced: bool,
}

impl Sent {
    /// Whether a crash must leave what it did, and so its answer.
    fn stays(&self, power: bool) -> bool {
        let confirmed = self.level == Durability::Durable && matches!(self.answer, Some(Ok(_)));
        self.level > Durability::Memory && (!power || self.is_synced || confirmed)
    }
}

#[derive(Default)]
struct Owner {
    sent: Vec<Sent>,
    seen: usize,
}

struct Run {
    world: World,
    queue: QueueId,
    session: SessionId,
    owners: [Owner; 2],
    held: Vec<(Token, u32)>,
    bodies: u32,
    /// What no one will send again and a crash may have taken.
    lost: BTreeSet<u32>,
    /// How safe each body is.
    levels: BTreeMap<u32, Durability>,
    gone: BTreeSet<u32>,
}

fn name(whose: usize) -> SessionName {
    SessionName([whose as u8; 16])
}

impl Run {
    fn new() -> Run {
        let mut world = World::new(4096);
        world.begin(name(0));
        world.begin(name(1));
        let queue = world.queue(QueueOptions {
            max_attempts: Some(None),
            ..QueueOptions::default()
        });
        let session = world.session();
        Run {
            world,
            queue,
            session,
            owners: Default::default(),
            held: Vec::new(),
            bodies: 0,
            lost: BTreeSet::new(),
            levels: BTreeMap::new(),
            gone: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Produce(whose, level) => {
                let bodies = self.new_bodies(1, level);
                let command = produce_as(self.queue, &bodies[0].to_string(), level);
                self.send(whose, command, bodies, None, level);
            }
            Move::Batch(whose, count) => {
                let bodies = self.new_bodies(count, Durability::Durable);
                let message = |body: &u32| Outgoing::new(body.to_string().as_bytes());
                let command = Command::ProduceMany {
                    queue: self.queue,
                    messages: bodies.iter().map(message).collect(),
                    wait: Wait::No,
                };
                self.send(whose, command, bodies, None, Durability::Durable);
            }
            Move::Ack(whose, durable) => {
                if let Some((token, body)) = self.held.pop() {
                    let level = match durable {
                        true => Durability::Durable,
                        false => Durability::Written,
                    };
                    let command = Command::Ack { token, durable };
                    self.send(whose, command, Vec::new(), Some(body), level);
                }
            }
            Move::Again(whose, nth) => {
                let owner = &self.owners[whose];
                let unseen = owner.sent.len() - owner.seen;
                if unseen > 0 {
                    let nth = owner.seen + nth.index(unseen);
                    self.hand_in(whose, nth);
                }
            }
            Move::Seen(whose) => {
                let owner = &mut self.owners[whose];
                while owner
                    .sent
                    .get(owner.seen)
                    .is_some_and(|own| own.answer.is_some())
                {
                    owner.seen += 1;
                }
            }
            Move::Take => self.take(),
            Move::Sync => self.sync(),
            Move::Pass(span) => self.world.pass(span),
            Move::Kill => self.crash(false),
            Move::PowerCut => self.crash(true),
        }
        self.hear_answers();
    }

    fn new_bodies(&mut self, count: u8, level: Durability) -> Vec<u32> {
        let first = self.bodies + 1;
        self.bodies += u32::from(count);
        let bodies: Vec<u32> = (first..=self.bodies).collect();
        self.levels.extend(bodies.iter().map(|body| (*body, level)));
        bodies
    }

    fn send(
        &mut self,
        whose: usize,
        command: Command,
        brings: Vec<u32>,
        acks: Option<u32>,
        level: Durability,
    ) {
        let nth = self.owners[whose].sent.len();
        self.owners[whose].sent.push(Sent {
            command,
            brings,
            acks,
            level,
            calls: Vec::new(),
            answer: None,
            is_synced: false,
        });
        self.hand_in(whose, nth);
    }

    fn hand_in(&mut self, whose: usize, nth: usize) {
        let owner = &self.owners[whose];
        let command = owner.sent[nth].command.clone();
        let (number, seen) = (nth as u64 + 1, owner.seen as u64);
        let (call, told) = self.world.hand_in(name(whose), number, seen, command);
        let sent = &mut self.owners[whose].sent[nth];
        sent.calls.extend(call);
        if let Some(told) = told {
            answered(sent, told);
        }
    }

    /// What was answered meanwhile: all calls for one command the same.
    fn hear_answers(&mut self) {
        let resolved = &self.world.resolved;
        for owner in &mut self.owners {
            for sent in &mut owner.sent {
                for call in sent.calls.clone() {
                    if let Some(told) = resolved.get(&call) {
                        answered(sent, told.clone());
                    }
                }
                if let (Some(body), Some(Ok(_))) = (sent.acks, &sent.answer) {
                    self.gone.insert(body);
                }
            }
        }
    }

    fn take(&mut self) {
        let taken = self.world.plain(consume(self.queue, self.session));
        if let Ok(Reply::Delivery(Some(delivery))) = taken {
            let body = number(&delivery.message.body);
            self.held.push((delivery.token.expect("leased"), body));
        }
    }

    fn sync(&mut self) {
        self.world.sync();
        let sent = self.owners.iter_mut().flat_map(|owner| &mut owner.sent);
        sent.for_each(|sent| sent.is_synced = true);
    }

    /// After a crash an owner sends all that it has no answer for, and what it did not say that it has, again.
    fn crash(&mut self, power: bool) {
        self.hear_answers();
        self.held.clear();
        match power {
            true => self.world.power_cut(),
            false => self.world.kill(),
        }
        self.session = self.world.session();
        self.none_is_there_twice();
        for whose in 0..2 {
            for nth in 0..self.owners[whose].sent.len() {
                self.again_after_a_crash(whose, nth, power);
            }
        }
        self.sync();
        self.hear_answers();
        self.all_is_there_once();
    }

    fn again_after_a_crash(&mut self, whose: usize, nth: usize, power: bool) {
        let owner = &mut self.owners[whose];
        let sent = &mut owner.sent[nth];
        sent.calls.clear();
        let stays = sent.stays(power);
        let before = sent.answer.take_if(|_| !stays);
        if nth < owner.seen {
            if !stays {
                self.lost.extend(&sent.brings);
                self.gone.extend(sent.acks);
                self.lost.extend(sent.acks);
                sent.answer = before;
            }
            return;
        }
        if !stays && let Some(body) = sent.acks {
            self.gone.remove(&body);
        }
        // A first answer that must stay is compared with the one that comes now.
        self.hand_in(whose, nth);
    }

    fn none_is_there_twice(&mut self) -> Vec<u32> {
        let messages = self.world.messages(self.queue);
        let bodies: Vec<u32> = messages.iter().map(|own| number(&own.body)).collect();
        let different: BTreeSet<&u32> = bodies.iter().collect();
        assert_eq!(different.len(), bodies.len(), "none twice: {bodies:?}");
        bodies
    }

    fn all_is_there_once(&mut self) {
        let bodies: BTreeSet<u32> = self.none_is_there_twice().into_iter().collect();
        let brought = self.owners.iter().flat_map(|owner| &owner.sent);
        for body in brought.flat_map(|sent| &sent.brings) {
            let gone = self.gone.contains(body);
            // What is in memory only and was acked comes again if its producer did not hear of it: an outcome is no safer than what it is of.
            let again = gone && self.levels[body] == Durability::Memory;
            if again || self.lost.contains(body) {
                continue;
            }
            assert_eq!(
                bodies.contains(body),
                !gone,
                "message {body}, acked: {gone}"
            );
        }
    }
}

fn answered(sent: &mut Sent, told: Result<Reply>) {
    if let Err(error) = &told {
        assert_eq!(error.kind(), ErrorKind::LeaseLost, "{error}");
        assert!(sent.acks.is_some());
    }
    if let Some(first) = &sent.answer {
        assert_eq!(&told, first, "the first answer of {:?}", sent.command);
    }
    sent.answer = Some(told);
}

fn number(body: &[u8]) -> u32 {
    let text = std::str::from_utf8(body).expect("a number");
    text.parse().expect("a number")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn sessions_that_send_everything_again_have_each_effect_once(moves in prop::collection::vec(moves(), 1..80)) {
        let mut run = Run::new();
        for step in moves {
            run.step(step);
        }
        run.crash(true);
        run.crash(false);
    }
}
