//! A checkpoint: everything that is not messages, as records.

use std::sync::Arc;

use crate::store::Record;

use super::Engine;

impl Engine {
    /// Everything that is not messages: what a log must say so that nothing before it is needed but messages and what became of them.
    pub(super) fn checkpoint(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (name, queue) in self.topology.queues() {
            let (Ok(declared), Some(Some(line))) = (
                self.topology.queue(queue),
                self.lines.get(queue.index as usize),
            ) else {
                continue;
            };
            records.push(Record::Queue {
                queue,
                name: name.to_owned(),
                spec: declared.spec.clone(),
            });
            let mut counts = line.counts.clone();
            for held in &line.held {
                counts.take_back_verdict(held.cause);
            }
            records.push(Record::Counts {
                queue,
                stats: Box::new(counts.stats(name, None)),
            });
            let ids = line.ids.iter().flat_map(|ids| ids.iter());
            records.extend(ids.map(|original| Record::Remembered {
                queue,
                name: Arc::clone(&original.name),
                message: original.message,
                at: original.at,
            }));
        }
        for (exchange, declared) in self.topology.exchanges() {
            records.push(Record::Exchange {
                exchange,
                name: declared.name.clone(),
                kind: declared.kind,
                alternate: declared.alternate.clone(),
            });
        }
        // After all exchanges: a binding may lead to one of them.
        for (exchange, declared) in self.topology.exchanges() {
            self.topology.each_binding(declared, &mut |_, binding| {
                records.push(Record::Bound {
                    exchange,
                    binding: binding.clone(),
                });
            });
        }
        self.session_records(&mut records);
        records
    }
}
