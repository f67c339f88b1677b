//! Proves that a corrupted record names its queue and the messages that may be lost, and that everything else is served: an engine on a disk in memory, of which bytes are damaged.

use std::collections::BTreeMap;

use ferrymq_core::engine::{Answer, Command, Config, Engine, Loss, Output, Reply, Wait};
use ferrymq_core::model::{MessageId, Outgoing, QueueId, SessionId, Time};
use ferrymq_core::store::{DiskOp, DiskOutcome, FileId};

const BODY: &[u8] = b"the body of one message among others, which is easy to find";
const IDLE_MS: u64 = 100;

#[derive(Clone, Default)]
struct Disk(BTreeMap<FileId, Vec<u8>>);

impl Disk {
    fn execute(&mut self, op: DiskOp) -> DiskOutcome {
        match op {
            DiskOp::List => {
                let files = self.0.iter().map(|(file, own)| (*file, own.len() as u64));
                return DiskOutcome::Files(files.collect());
            }
            DiskOp::ReadAt { file, offset, len } => {
                let bytes = &self.0[&file][offset as usize..];
                return DiskOutcome::Bytes(bytes[..bytes.len().min(len as usize)].to_vec());
            }
            DiskOp::Create { file, len } => drop(self.0.insert(file, vec![0; len as usize])),
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => {
                let own = self.0.get_mut(&file).expect("it was made");
                own[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            DiskOp::Delete { file } => drop(self.0.remove(&file)),
            DiskOp::SyncDir | DiskOp::Sync { .. } => {}
        }
        DiskOutcome::Done
    }

    /// Does what the engine asks for, until it asks for nothing.
    fn serve(&mut self, engine: &mut Engine, now: u64) {
        while let Some(output) = engine.poll() {
            if let Output::Io(ticket) = output {
                let outcome = self.execute(ticket.op);
                engine.io_done(Time(now), ticket.id, outcome);
            }
        }
    }

    fn open(&mut self, epoch: u32) -> Engine {
        let config = Config {
            epoch,
            segment_bytes: 65_536,
            ..Config::default()
        };
        let mut engine = Engine::open(config, Time(0));
        self.serve(&mut engine, 0);
        engine
    }

    /// Flips a bit of the body that stands `nth` on the disk.
    fn damage(&mut self, nth: usize) {
        let mut seen = 0;
        for bytes in self.0.values_mut() {
            for at in 0..bytes.len() - BODY.len() {
                if bytes[at..].starts_with(BODY) {
                    if seen == nth {
                        bytes[at + 3] ^= 4;
                        return;
                    }
                    seen += 1;
                }
            }
        }
        panic!("there are only {seen} bodies");
    }
}

fn queue(engine: &mut Engine, name: &str, create: bool) -> QueueId {
    let declare = Command::DeclareQueue {
        name: name.to_owned(),
        options: Default::default(),
        create,
        session: SessionId::NOBODY,
    };
    match engine.handle(Time(0), declare) {
        Answer::Done(Ok(Reply::Queue(queue))) => queue,
        Answer::Pending(_) => queue(engine, name, false),
        other => panic!("{other:?}"),
    }
}

/// Two queues, with messages 1, 3, 5, ... in the first and 2, 4, 6, ... in the other, closed in order.
fn store(messages: u64) -> Disk {
    let mut disk = Disk::default();
    let mut engine = disk.open(1);
    let queues = ["orders", "mails"].map(|name| {
        let id = queue(&mut engine, name, true);
        disk.serve(&mut engine, 0);
        id
    });
    for nth in 0..messages {
        let produce = Command::Produce {
            queue: queues[nth as usize % 2],
            message: Outgoing::new(BODY),
            wait: Wait::No,
        };
        let _ = engine.handle(Time(0), produce);
        disk.serve(&mut engine, 0);
    }
    for now in [IDLE_MS, 2 * IDLE_MS] {
        engine.advance(Time(now));
        disk.serve(&mut engine, now);
    }
    disk
}

fn ids(engine: &mut Engine, name: &str) -> Vec<u64> {
    let queue = queue(engine, name, false);
    match engine.handle(Time(0), Command::Peek { queue, max: 100 }) {
        Answer::Done(Ok(Reply::Messages(all))) => all.iter().map(|own| own.id.0).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_that_cannot_be_read_names_its_queue_and_its_message() {
    let whole = store(10);
    for (nth, name) in [(2, "orders"), (5, "mails")] {
        let mut disk = whole.clone();
        disk.damage(nth);
        let id = nth as u64 + 1;
        for epoch in 2..4 {
            let mut engine = disk.open(epoch);
            let [loss] = engine.losses() else {
                panic!("{:?}", engine.losses());
            };
            let Loss {
                queues, messages, ..
            } = loss.clone();
            assert_eq!(queues, [name]);
            assert_eq!(messages, Some((MessageId(id), MessageId(id))));
            assert!(loss.to_string().contains(name), "{loss}");
            let mut all = [ids(&mut engine, "orders"), ids(&mut engine, "mails")].concat();
            all.sort_unstable();
            let served = (1..=10).filter(|other| *other != id);
            assert!(all.into_iter().eq(served), "everything else is served");
        }
    }
}

#[test]
fn a_store_without_damage_names_nothing() {
    let mut disk = store(10);
    let engine = disk.open(2);
    assert!(engine.is_open());
    assert_eq!(engine.losses(), []);
}
