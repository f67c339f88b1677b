//! Opening whatever bytes stand where a store should be.

use ferrymq_core::engine::{Answer, Command, Config, Engine, Event, Output, Reply, Wait};
use ferrymq_core::model::{MessageId, Outgoing, QueueId, Result as CoreResult, SessionId, Time};
use ferrymq_core::store::{DiskOp, DiskOutcome};
use ferrymq_core::testing::ManualDisk;

use crate::image::{self, Image, Origin};
use crate::{Target, Verdict, mutate, seeds};

/// See the module.
pub const TARGET: Target = Target {
    name: "recovery",
    judge,
    seed: |nth| match nth % 3 {
        0 => [image::DAMAGED, 0, nth as u8, 0, 0, 100, 4, 0].to_vec(),
        _ => seeds::store(nth).write(),
    },
    mutate: |input, other, rng| mutate::image(input, other, rng),
};

/// More requests than opening a store of an input's length can need.
const TICKETS_MAX: usize = 2_000;
/// When everything happens, milliseconds: after all that the seeds did.
const NOW: Time = Time(10_000_000);
/// More messages than an input holds.
const MESSAGES_MAX: u32 = 100_000;
const SEGMENT_BYTES: u64 = 4096;
/// What is read of a file before anything is known of it.
const HEADER_BYTES: u64 = 512;

/// Opens what the bytes say; what opens has to be a store in every respect.
pub fn judge(input: &[u8]) -> Verdict {
    let mut image = Image::read(input);
    image.keep_quick();
    if image.is_empty() {
        return Verdict::Shallow;
    }
    let mut disk = image.disk();
    let Some(mut engine) = open(&mut disk, 1) else {
        return Verdict::Refused;
    };
    let first = shown(&mut engine, &mut disk);
    if first.is_empty() {
        return Verdict::Shallow;
    }
    // Nothing was done, and all was synced before it counted as open: the same again, whether process or power went.
    // What somebody made up may say what no program says, and in another order: of that only this much is asked, that it is served or refused. What damage left is the simulator's to judge.
    let is_ours = image.origin == Origin::Damaged;
    let is_whole = is_ours && engine.damage().is_empty();
    disk.kill();
    let Some(mut engine) = open(&mut disk, 2) else {
        assert!(!is_ours, "what opened opens again");
        return Verdict::Refused;
    };
    if is_whole {
        assert_same(&shown(&mut engine, &mut disk), &first, "after a kill");
    }
    disk.power_cut();
    let Some(mut engine) = open(&mut disk, 3) else {
        assert!(!is_ours, "what opened opens again");
        return Verdict::Refused;
    };
    if is_whole {
        assert_same(&shown(&mut engine, &mut disk), &first, "after a power cut");
    }
    let produced = use_it(&mut engine, &mut disk);
    disk.power_cut();
    let Some(mut engine) = open(&mut disk, 4) else {
        assert!(!is_ours, "what opened and was used opens again");
        return Verdict::Refused;
    };
    if is_whole && let Some((queue, id)) = produced {
        let peek = Command::Peek { queue, max: 1 };
        let Ok(Reply::Messages(messages)) = ask(&mut engine, &mut disk, peek) else {
            panic!("the queue has gone");
        };
        assert_eq!(messages[0].id, id, "what was produced is there");
        assert_eq!(&messages[0].body[..], b"new");
    }
    Verdict::Deep
}

/// `None`: it was refused, with a reason. Panics: neither.
fn open(disk: &mut ManualDisk, epoch: u32) -> Option<Engine> {
    let config = Config {
        epoch,
        segment_bytes: SEGMENT_BYTES,
        ..Config::default()
    };
    let mut engine = Engine::open(config, NOW);
    pump(&mut engine, disk);
    if !engine.is_open() {
        assert!(engine.refused().is_some(), "neither open nor refused");
        return None;
    }
    Some(engine)
}

/// Does what the engine asks for until it asks for nothing. Gives the answers that came.
fn pump(engine: &mut Engine, disk: &mut ManualDisk) -> Vec<CoreResult<Reply>> {
    let mut answers = Vec::new();
    let mut tickets = 0;
    while let Some(output) = engine.poll() {
        match output {
            Output::Io(ticket) => {
                tickets += 1;
                assert!(tickets < TICKETS_MAX, "requests without end");
                assert_within(&ticket.op, disk);
                let id = ticket.id;
                match disk.execute(ticket) {
                    Some(outcome) => engine.io_done(NOW, id, outcome),
                    None => {
                        for (id, outcome) in disk.complete_syncs(true) {
                            engine.io_done(NOW, id, outcome);
                        }
                    }
                }
            }
            Output::Event(Event::Resolved { result, .. }) => answers.push(result),
            Output::Event(_) => {}
        }
    }
    answers
}

/// No more is asked of a file than what it has, or than a header: a real disk would make room for it.
fn assert_within(op: &DiskOp, disk: &mut ManualDisk) {
    let DiskOp::ReadAt { file, len, .. } = op else {
        return;
    };
    let asked = u64::from(*len);
    let list = ferrymq_core::store::Ticket {
        id: ferrymq_core::store::TicketId(0),
        op: DiskOp::List,
    };
    let Some(DiskOutcome::Files(files)) = disk.execute(list) else {
        unreachable!("a list is answered at once")
    };
    let len = files.iter().find(|(own, _)| own == file).map(|own| own.1);
    assert!(
        len.is_some_and(|len| asked <= len.max(HEADER_BYTES)),
        "{op:?} of a file of {len:?} bytes"
    );
}

fn assert_same(now: &[String], before: &[String], when: &str) {
    assert!(
        now == before,
        "{when} it says\n{}\nand said\n{}",
        now.join("\n"),
        before.join("\n")
    );
}

/// A command that is answered, with whatever syncs it takes.
fn ask(engine: &mut Engine, disk: &mut ManualDisk, command: Command) -> CoreResult<Reply> {
    match engine.handle(NOW, command) {
        Answer::Done(result) => {
            pump(engine, disk);
            result
        }
        Answer::Pending(_) => {
            let mut answers = pump(engine, disk);
            assert_eq!(answers.len(), 1, "one call waits");
            answers.remove(0)
        }
    }
}

fn queues(engine: &mut Engine, disk: &mut ManualDisk) -> Vec<QueueId> {
    let Ok(Reply::Queues(all)) = ask(engine, disk, Command::Queues) else {
        panic!("no list of queues");
    };
    let mut ids = Vec::new();
    for stats in all {
        let find = Command::DeclareQueue {
            name: stats.name.clone(),
            options: Default::default(),
            create: false,
            session: SessionId::NOBODY,
        };
        let Ok(Reply::Queue(id)) = ask(engine, disk, find) else {
            panic!("{} is listed and not there", stats.name);
        };
        ids.push(id);
    }
    ids
}

/// All that can be seen.
fn shown(engine: &mut Engine, disk: &mut ManualDisk) -> Vec<String> {
    let mut lines = Vec::new();
    for queue in queues(engine, disk) {
        let stats = ask(engine, disk, Command::Stats { queue });
        let peek = Command::Peek {
            queue,
            max: MESSAGES_MAX,
        };
        let messages = ask(engine, disk, peek);
        if let Ok(Reply::Stats(stats)) = &stats {
            assert_eq!(stats.size, stats.ready + stats.delayed + stats.leased);
        }
        lines.push(format!("{stats:?} {messages:?}"));
    }
    let broker = ask(engine, disk, Command::BrokerStats);
    if !lines.is_empty() {
        lines.push(format!("{broker:?}"));
    }
    lines
}

/// It serves as any store does: everything ready can be taken and acked, and something is produced.
fn use_it(engine: &mut Engine, disk: &mut ManualDisk) -> Option<(QueueId, MessageId)> {
    let Ok(Reply::Session(session)) = ask(engine, disk, Command::OpenSession) else {
        panic!("no session");
    };
    for queue in queues(engine, disk) {
        let consume = Command::ConsumeMany {
            queue,
            session,
            max: MESSAGES_MAX,
            auto_ack: false,
            wait: Wait::No,
        };
        if let Ok(Reply::Deliveries(deliveries)) = ask(engine, disk, consume) {
            let tokens = deliveries.iter().filter_map(|own| own.token).collect();
            let acked = ask(engine, disk, Command::AckMany { tokens });
            assert!(matches!(acked, Ok(Reply::Lost(lost)) if lost.is_empty()));
        }
    }
    let name = "a queue that no seed has".to_owned();
    let declare = Command::DeclareQueue {
        name,
        options: Default::default(),
        create: true,
        session,
    };
    let Ok(Reply::Queue(queue)) = ask(engine, disk, declare) else {
        return None;
    };
    let produce = Command::Produce {
        queue,
        message: Outgoing::new(b"new".as_slice()),
        wait: Wait::No,
    };
    match ask(engine, disk, produce) {
        Ok(Reply::Produced(id)) => Some((queue, id)),
        _ => None,
    }
}
