//! Exchanges: what exists of them, and which queues a message reaches through them.

use crate::model::limits::KEY_BYTES_MAX;
use crate::model::{
    Binding, Error, ErrorKind, ExchangeId, ExchangeKind, Headers, Outgoing, Result, check_name,
    quoted,
};
use crate::route::resolve;
use crate::store::Record;
use crate::topology::Topology;

use super::{Command, Engine, Outcome, Reply, Step};

impl Engine {
    pub(super) fn administer_exchange(&mut self, command: Command) -> Step {
        match command {
            Command::DeclareExchange {
                name,
                kind,
                alternate,
                create,
            } => self.declare_exchange(name, kind, alternate, create),
            Command::DeleteExchange { exchange } => self.delete_exchange(exchange),
            Command::Bind { exchange, binding } => self.bind(exchange, binding),
            Command::Unbind { exchange, binding } => self.unbind(exchange, binding),
            _ => unreachable!("every other command is on a message's way"),
        }
    }

    fn declare_exchange(
        &mut self,
        name: String,
        kind: Option<ExchangeKind>,
        alternate: Option<String>,
        create: bool,
    ) -> Step {
        if let Some(alternate) = alternate.as_ref().filter(|name| !name.is_empty()) {
            check_name("alternate exchange", alternate)?;
        }
        if let Some(id) = self.topology.exchange_named(&name) {
            let there = self.topology.exchange(id)?;
            if let Some(kind) = kind.filter(|kind| *kind != there.kind) {
                return Err(conflict(&name, "kind", there.kind.name(), kind.name()));
            }
            if alternate.is_some() && alternate != there.alternate {
                let of = |alternate: &Option<String>| alternate.clone().unwrap_or_default();
                let (own, passed) = (of(&there.alternate), of(&alternate));
                return Err(conflict(&name, "alternate", &own, &passed));
            }
            return Ok(Outcome::Now(Reply::Exchange(id, there.kind)));
        }
        let exchange = self.topology.exchange_vacancy(&name)?;
        if !create {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no exchange {}; declare it, or leave create out",
                    quoted(&name)
                ),
            ));
        }
        let kind = kind.unwrap_or(ExchangeKind::Topic);
        self.record(&Record::Exchange {
            exchange,
            name: name.clone(),
            kind,
            alternate: alternate.clone(),
        });
        self.topology.add_exchange(exchange, &name, kind, alternate);
        let reply = Reply::Exchange(exchange, kind);
        Ok(Outcome::Once(self.config.durability, reply))
    }

    fn delete_exchange(&mut self, exchange: ExchangeId) -> Step {
        self.topology.exchange(exchange)?;
        if exchange == Topology::DEFAULT_EXCHANGE {
            return Err(Error::invalid(
                "the default exchange is always there and cannot be deleted",
            ));
        }
        self.record(&Record::ExchangeDeleted { exchange });
        self.topology.remove_exchange(exchange);
        Ok(Outcome::Once(self.config.durability, Reply::Done))
    }

    fn bind(&mut self, exchange: ExchangeId, binding: Binding) -> Step {
        if self.topology.check_binding(exchange, &binding)? {
            let record = Record::Bound {
                exchange,
                binding: binding.clone(),
            };
            self.record(&record);
            self.topology.bind(exchange, binding);
        }
        Ok(Outcome::Once(self.config.durability, Reply::Done))
    }

    fn unbind(&mut self, exchange: ExchangeId, binding: Binding) -> Step {
        if !self.topology.unbind(exchange, &binding)? {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no such binding with pattern {}; unbind with the pattern, headers and match that it was bound with",
                    quoted(&binding.pattern)
                ),
            ));
        }
        self.record(&Record::Unbound { exchange, binding });
        Ok(Outcome::Once(self.config.durability, Reply::Done))
    }

    /// The queues that a message reaches, each once, in the order of the bindings.
    pub(super) fn targets(
        &self,
        exchange: ExchangeId,
        key: &str,
        headers: Option<&Headers>,
    ) -> Vec<u32> {
        resolve(&self.topology, exchange, key, headers)
    }

    /// The same for a message that is published. Errors: `NotFound`, `InvalidArgument`, `Unroutable`.
    pub(super) fn reached(
        &self,
        exchange: ExchangeId,
        key: &str,
        message: &Outgoing,
        mandatory: bool,
    ) -> Result<Vec<u32>> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the key has {} bytes, the limit is {KEY_BYTES_MAX}",
                key.len()
            )));
        }
        let name = &self.topology.exchange(exchange)?.name;
        let headers = message.properties.as_ref().map(|own| &own.headers);
        let reached = self.targets(exchange, key, headers);
        if mandatory && reached.is_empty() {
            return Err(Error::new(
                ErrorKind::Unroutable,
                format!(
                    "no queue is bound to exchange {} for key {}; bind one, or publish without mandatory",
                    quoted(name),
                    quoted(key)
                ),
            ));
        }
        Ok(reached)
    }
}

fn conflict(name: &str, what: &str, there: &str, passed: &str) -> Error {
    Error::new(
        ErrorKind::QueueConflict,
        format!(
            "exchange {} exists with {what} = {}, this declares {}; declare it with the same {what}, or delete it first",
            quoted(name),
            quoted(there),
            quoted(passed)
        ),
    )
}
