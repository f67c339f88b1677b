//! Push consumers: their credit, what is reserved for them, who waits for it.

use std::collections::VecDeque;

use crate::model::{CallId, ConsumerId, MessageId, QueueId, SessionId};

/// A message that is reserved for a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Which message.
    pub message: MessageId,
    /// Its slot in the table.
    pub slot: u32,
}

/// A call that waits for what will be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// The call that waits.
    pub call: CallId,
    /// At most so many messages.
    pub max: u32,
}

/// A push consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Where from.
    pub queue: QueueId,
    /// Who will hold the leases.
    pub session: SessionId,
    /// Settled by being handed over.
    pub auto_ack: bool,
    /// The credit it has when it has nothing.
    pub prefetch: u32,
    /// Messages in its hands.
    pub unsettled: u32,
    /// Messages before it, in the order in which they will be handed over.
    pub reserved: VecDeque<Reserved>,
    /// Calls that wait for a message, in their order.
    pub takes: VecDeque<Take>,
    /// Whether its queue was deleted.
    pub orphaned: bool,
}

impl Consumer {
    /// Messages that use up its credit.
    #[must_use]
    #[inline]
    pub fn load(&self) -> usize {
        self.reserved.len() + self.unsettled as usize
    }

    /// Whether a message may be reserved for it.
    #[must_use]
    #[inline]
    pub fn has_credit(&self) -> bool {
        self.load() < self.prefetch as usize
    }
}

#[derive(Debug)]
struct Place {
    generation: u32,
    /// Messages that a consumer, closed since, still has in its hands: until they come back the place is not given away, because their leases name it.
    owed: u32,
    consumer: Option<Box<Consumer>>,
}

/// All push consumers. Leases name a consumer by its place, handles by its id.
#[derive(Debug)]
pub struct Consumers {
    last: u32,
    places: Vec<Place>,
    vacant: Vec<u32>,
}

impl Consumers {
    /// None. Ids of another epoch name nobody here.
    #[must_use]
    pub fn new(epoch: u32) -> Consumers {
        Consumers {
            last: epoch.wrapping_shl(20),
            places: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Registers a consumer.
    pub fn open(&mut self, consumer: Consumer) -> ConsumerId {
        self.last = self.last.wrapping_add(1);
        let place = Place {
            generation: self.last,
            owed: 0,
            consumer: Some(Box::new(consumer)),
        };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.places[index as usize] = place;
                index
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        ConsumerId {
            index,
            generation: self.last,
        }
    }

    /// The consumer of this id; `None` once it is closed.
    #[inline]
    pub fn get(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        match self.places.get_mut(id.index as usize) {
            Some(place) if place.generation == id.generation => place.consumer.as_deref_mut(),
            _ => None,
        }
    }

    /// The open consumer at a place.
    #[must_use]
    #[inline]
    pub fn at(&self, place: u32) -> Option<&Consumer> {
        self.places.get(place as usize)?.consumer.as_deref()
    }

    /// The open consumer at a place, to change.
    #[inline]
    pub fn at_mut(&mut self, place: u32) -> Option<&mut Consumer> {
        self.places.get_mut(place as usize)?.consumer.as_deref_mut()
    }

    /// Takes a consumer out. Its place is given away once nothing is in its hands any more.
    pub fn close(&mut self, id: ConsumerId) -> Option<Box<Consumer>> {
        let place = self.places.get_mut(id.index as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let consumer = place.consumer.take()?;
        place.owed = consumer.unsettled;
        if place.owed == 0 {
            self.vacant.push(id.index);
        }
        Some(consumer)
    }

    /// A message that was in a consumer's hands is not any more. True if the consumer can have another for it, which it could not before.
    #[inline]
    pub fn repay(&mut self, index: u32) -> bool {
        let Some(place) = self.places.get_mut(index as usize) else {
            return false;
        };
        match place.consumer.as_deref_mut() {
            Some(consumer) => {
                let had = consumer.has_credit();
                consumer.unsettled -= 1;
                !had && !consumer.orphaned
            }
            None => {
                place.owed -= 1;
                if place.owed == 0 {
                    self.vacant.push(index);
                }
                false
            }
        }
    }

    /// The consumers of a session.
    #[must_use]
    pub fn of_session(&self, session: SessionId) -> Vec<ConsumerId> {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| {
                let consumer = place.consumer.as_deref();
                consumer.is_some_and(|consumer| consumer.session == session)
            })
            .map(|(index, place)| ConsumerId {
                index: index as u32,
                generation: place.generation,
            })
            .collect()
    }

    /// A call waits no longer.
    pub fn leave(&mut self, id: ConsumerId, call: CallId) {
        if let Some(consumer) = self.get(id) {
            consumer.takes.retain(|take| take.call != call);
        }
    }
}
