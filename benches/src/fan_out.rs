//! One body in many queues: what each of them takes.

use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply};
use ferrymq_core::model::{
    Binding, ExchangeId, ExchangeKind, Outgoing, QueueOptions, SessionId, Time,
};
use stats_alloc::Region;

use crate::{ALLOCATOR, allocated};

const BODY: [u8; 1024] = [7; 1024];
/// Enough that what each queue needs once hardly counts.
const PUBLISHED: usize = 500;

fn reply(engine: &mut Engine, command: Command) -> Reply {
    match engine.handle(Time(0), command) {
        Answer::Done(Ok(reply)) => reply,
        other => panic!("unexpected answer {other:?}"),
    }
}

fn fanout_exchange(engine: &mut Engine, queues: usize) -> ExchangeId {
    let declare = Command::DeclareExchange {
        name: "e".to_owned(),
        kind: Some(ExchangeKind::Fanout),
        alternate: None,
        create: true,
    };
    let Reply::Exchange(exchange, _) = reply(engine, declare) else {
        panic!("no exchange");
    };
    for n in 0..queues {
        let declare = Command::DeclareQueue {
            name: format!("q{n}"),
            options: QueueOptions::default(),
            create: true,
            session: SessionId::default(),
        };
        let Reply::Queue(queue) = reply(engine, declare) else {
            panic!("no queue");
        };
        let binding = Binding::to_queue(queue, "");
        reply(engine, Command::Bind { exchange, binding });
    }
    exchange
}

/// Bytes that a message of 1 KB, published to so many queues, takes in each of them. The body is counted in: copied for each queue it would be 1,024 alone.
pub fn bytes_a_queue(queues: usize) -> f64 {
    let mut engine = Engine::memory(Config::default());
    let exchange = fanout_exchange(&mut engine, queues);
    let region = Region::new(ALLOCATOR);
    for _ in 0..PUBLISHED {
        let publish = Command::Publish {
            exchange,
            key: String::new(),
            message: Outgoing::new(BODY.as_slice()),
            mandatory: true,
        };
        assert_eq!(reply(&mut engine, publish), Reply::Count(queues as u64));
    }
    allocated(&region.change()) as f64 / (PUBLISHED * queues) as f64
}
