//! What is kept of the answers to numbered commands, and for how long.

use crate::model::{SavedPart, SavedReply, Token};

use super::{Command, Reply};

/// What is kept of an answer.
#[derive(Clone, Debug)]
pub(super) enum Memo {
    /// The answer of what changed the store.
    Saved(SavedReply),
    /// An answer that counts for this life only.
    Passing(Reply),
    /// Deliveries, each with whether it was one again. What they hold is in the table as long as their leases last.
    Handed {
        deliveries: Vec<(Token, bool)>,
        is_many: bool,
    },
    /// Messages that were settled by being handed over.
    Settled,
}

impl Memo {
    /// Bytes beside the value itself.
    pub fn list_bytes(&self) -> usize {
        match self {
            Memo::Saved(reply) => reply.list_bytes(),
            Memo::Handed { deliveries, .. } => size_of_val(deliveries.as_slice()),
            Memo::Passing(_) | Memo::Settled => 0,
        }
    }
}

/// For how long the answer of a command is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Not at all: it changes nothing, and can be done again.
    Not,
    /// For this life: what it gives ends with the process.
    Passing,
    /// In the log.
    Logged,
    /// In the log, if anything that it brings is.
    LoggedIfSafe,
}

/// For how long the answer of this command is kept.
pub(super) fn keeps(command: &Command) -> Keeps {
    match command {
        Command::Produce { .. }
        | Command::ProduceMany { .. }
        | Command::Publish { .. }
        | Command::Transaction { .. } => Keeps::LoggedIfSafe,
        Command::DeclareQueue { .. }
        | Command::AlterQueue { .. }
        | Command::DeleteQueue { .. }
        | Command::Purge { .. }
        | Command::Redrive { .. }
        | Command::Ack { .. }
        | Command::AckMany { .. }
        | Command::Nack { .. }
        | Command::Reject { .. }
        | Command::Release { .. }
        | Command::DeclareExchange { .. }
        | Command::DeleteExchange { .. }
        | Command::Bind { .. }
        | Command::Unbind { .. } => Keeps::Logged,
        Command::Consume { .. }
        | Command::ConsumeMany { .. }
        | Command::OpenConsumer { .. }
        | Command::Take { .. }
        | Command::CloseConsumer { .. }
        | Command::Extend { .. }
        | Command::Keep { .. }
        | Command::OpenSession
        | Command::CloseSession { .. } => Keeps::Passing,
        Command::Peek { .. }
        | Command::Stats { .. }
        | Command::Size { .. }
        | Command::Queues
        | Command::BrokerStats
        | Command::Cancel { .. } => Keeps::Not,
    }
}

/// What is kept of an answer; `None`: nothing was handed over, so that it may as well be asked for again.
pub(super) fn memo_of(keeps: Keeps, reply: &Reply) -> Option<Memo> {
    let (deliveries, is_many) = match (keeps, reply) {
        (Keeps::Not, _) => return None,
        (Keeps::Logged | Keeps::LoggedIfSafe, reply) => {
            return Some(Memo::Saved(saved(reply)));
        }
        (_, Reply::Delivery(delivery)) => (delivery.as_slice(), false),
        (_, Reply::Deliveries(deliveries)) => (deliveries.as_slice(), true),
        (_, other) => return Some(Memo::Passing(other.clone())),
    };
    if deliveries.is_empty() {
        return None;
    }
    let leased = deliveries
        .iter()
        .filter_map(|own| Some((own.token?, own.message.redelivered)));
    let leased: Vec<_> = leased.collect();
    Some(match leased.is_empty() {
        true => Memo::Settled,
        false => Memo::Handed {
            deliveries: leased,
            is_many,
        },
    })
}

fn saved(reply: &Reply) -> SavedReply {
    match reply {
        Reply::Queue(queue) => SavedReply::Queue(*queue),
        Reply::Exchange(exchange, kind) => SavedReply::Exchange(*exchange, *kind),
        Reply::Count(count) => SavedReply::Count(*count),
        Reply::Produced(id) => SavedReply::Produced(*id),
        Reply::ProducedMany(ids) => SavedReply::ProducedMany(ids.clone()),
        Reply::Lost(tokens) => SavedReply::Lost(tokens.clone()),
        Reply::Transaction(replies) => {
            SavedReply::Transaction(replies.iter().map(saved_part).collect())
        }
        // What else changes something is answered with no more than that.
        _ => SavedReply::Done,
    }
}

fn saved_part(reply: &Reply) -> SavedPart {
    match reply {
        Reply::Count(count) => SavedPart::Count(*count),
        Reply::Produced(id) => SavedPart::Produced(*id),
        _ => SavedPart::Done,
    }
}

/// The answer that was saved.
pub(super) fn reply_of(saved: &SavedReply) -> Reply {
    match saved {
        SavedReply::Done => Reply::Done,
        SavedReply::Queue(queue) => Reply::Queue(*queue),
        SavedReply::Exchange(exchange, kind) => Reply::Exchange(*exchange, *kind),
        SavedReply::Count(count) => Reply::Count(*count),
        SavedReply::Produced(id) => Reply::Produced(*id),
        SavedReply::ProducedMany(ids) => Reply::ProducedMany(ids.clone()),
        SavedReply::Lost(tokens) => Reply::Lost(tokens.clone()),
        SavedReply::Transaction(parts) => {
            let part = |part: &SavedPart| match part {
                SavedPart::Done => Reply::Done,
                SavedPart::Count(count) => Reply::Count(*count),
                SavedPart::Produced(id) => Reply::Produced(*id),
            };
            Reply::Transaction(parts.iter().map(part).collect())
        }
    }
}
