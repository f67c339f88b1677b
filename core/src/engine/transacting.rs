//! Publish and transactions: all operations or none.

use std::sync::Arc;

use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::limits::TRANSACTION_OPERATIONS_MAX;
use crate::model::{Durability, Error, ErrorKind, ExchangeId, Outgoing, Result};
use crate::produce::Load;
use crate::queue::Position;

use super::entering::{check_batch, cost_coming_in};
use super::once::{THIS_FRAME, Together};
use super::room::Demand;
use super::{Engine, Noticed, Operation, Outcome, Reply, Step};

impl Engine {
    pub(super) fn publish(
        &mut self,
        exchange: ExchangeId,
        key: &str,
        message: Outgoing,
        mandatory: bool,
    ) -> Step {
        let operation = Operation::Publish {
            exchange,
            key: key.to_owned(),
            message,
            mandatory,
        };
        match self.transact(vec![operation])? {
            Outcome::InFrame(lsn, level, Reply::Transaction(replies)) => {
                let reply = replies.into_iter().next().unwrap_or(Reply::Count(0));
                Ok(Outcome::InFrame(lsn, level, reply))
            }
            other => Ok(other),
        }
    }

    /// All operations or none: first everything is checked against what is there, then everything is done.
    pub(super) fn transact(&mut self, operations: Vec<Operation>) -> Step {
        let plan = self.plan_transaction(&operations)?;
        for drops in plan.drops {
            self.drop_oldest(&drops);
        }
        let mut level = Durability::Memory;
        let mut lsn = 0;
        let mut replies = Vec::with_capacity(operations.len());
        let mut targets = plan.targets.into_iter();
        for operation in operations {
            replies.push(match operation {
                Operation::Produce { queue, message } => {
                    let own = self.level_of(queue.index, &message);
                    level = level.max(own);
                    let (id, frame) = self.accept_once(queue.index, message, own);
                    lsn = lsn.max(frame);
                    Reply::Produced(id)
                }
                Operation::Publish { key, message, .. } => {
                    let reached = targets.next().unwrap_or_default();
                    let (own, frame) = self.copy_to(&reached, &key, message);
                    (level, lsn) = (level.max(own), lsn.max(frame));
                    Reply::Count(reached.len() as u64)
                }
                Operation::Ack { token } => {
                    level = level.max(self.config.durability);
                    lsn = THIS_FRAME;
                    self.ack(token, false)?;
                    Reply::Done
                }
            });
        }
        Ok(Outcome::InFrame(lsn, level, Reply::Transaction(replies)))
    }

    /// One copy for every queue that has none yet; they share the body. Priority and durability are at most the queue's. Gives how safe they will be, and in which frame.
    fn copy_to(&mut self, reached: &[u32], key: &str, mut message: Outgoing) -> (Durability, u64) {
        let mut level = Durability::Memory;
        let mut lsn = 0;
        if !key.is_empty() {
            let properties = message.properties.get_or_insert_default();
            Arc::make_mut(properties).key = Some(key.to_owned());
        }
        for &index in reached {
            let mut copy = message.clone();
            if let Some(queue) = self.topology.queue_at(index) {
                let highest = queue.spec.priorities - 1;
                copy.priority = copy.priority.min(highest as u8);
            }
            let own = self.level_of(index, &copy);
            level = level.max(own);
            let (_, frame) = self.accept_once(index, copy, own);
            lsn = lsn.max(frame);
        }
        (level, lsn)
    }

    fn plan_transaction(&mut self, operations: &[Operation]) -> Result<Plan> {
        check_batch("transaction", operations.len(), TRANSACTION_OPERATIONS_MAX)?;
        let mut plan = Plan::default();
        let mut carried = Demand::default();
        let mut acked = BTreeSet::new();
        let mut together = Together::default();
        for operation in operations {
            match operation {
                Operation::Produce { queue, message } => {
                    message.check()?;
                    self.admissible(&self.topology.queue(*queue)?.spec, message)?;
                    carried.add(message);
                    if self.is_fresh(queue.index, message, &mut together) {
                        plan.add(queue.index, message);
                    }
                }
                Operation::Publish {
                    exchange,
                    key,
                    message,
                    mandatory,
                } => {
                    message.check()?;
                    carried.add(message);
                    let reached = self.reached(*exchange, key, message, *mandatory)?;
                    for &index in &reached {
                        if self.is_fresh(index, message, &mut together) {
                            plan.add(index, message);
                        }
                    }
                    plan.targets.push(reached);
                }
                Operation::Ack { token } => {
                    let lease = self.leases.find(*token)?;
                    if !acked.insert(token.delivery) {
                        return Err(Error::new(
                            ErrorKind::LeaseLost,
                            "the transaction acks the same delivery twice; ack it once",
                        ));
                    }
                    let length = self.messages.get(lease.slot).map_or(0, |m| m.body.len());
                    plan.free(lease.queue, length as u64);
                }
            }
        }
        carried.check("transaction")?;
        for (index, load) in &plan.loads {
            let freed = plan.freed.get(index).copied().unwrap_or_default();
            let drops = self.plan_room(*index, *load, freed, plan.memory);
            match drops {
                Ok(drops) => plan.drops.push(drops),
                Err(full) => {
                    self.notice(*index, Noticed::Full);
                    return Err(self.full(*index, &full, None));
                }
            }
        }
        Ok(plan)
    }
}

/// What a transaction will do.
#[derive(Default)]
struct Plan {
    loads: BTreeMap<u32, Load>,
    freed: BTreeMap<u32, Load>,
    memory: u64,
    drops: Vec<Vec<Position>>,
    targets: Vec<Vec<u32>>,
}

impl Plan {
    fn add(&mut self, index: u32, message: &Outgoing) {
        let load = self.loads.entry(index).or_default();
        load.messages += 1;
        load.bytes += message.body.len() as u64;
        self.memory += cost_coming_in(message);
    }

    fn free(&mut self, index: u32, bytes: u64) {
        let freed = self.freed.entry(index).or_default();
        freed.messages += 1;
        freed.bytes += bytes;
    }
}
