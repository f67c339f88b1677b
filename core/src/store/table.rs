//! The messages that are in memory, by slot. Chunks of slots are made and given back as the number of messages grows and shrinks, so that
//! memory follows the messages and a growing table never copies itself.

use std::sync::Arc;

use crate::model::{Body, Durability, Message, MessageId, Properties, Time};

/// Slots in one chunk.
const CHUNK_SLOTS: usize = 512;

/// Where a message is in its life. What waits in a list is valid only while its message is in the state of that list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted, not yet as safe as asked (or behind one that is not); will be ready.
    Hidden,
    /// The same; will be delayed.
    HiddenDelayed,
    /// Can be delivered.
    Ready,
    /// Waits behind an earlier message of its key.
    Parked,
    /// Waits for its time.
    Delayed,
    /// A push consumer has it before it, not yet in its hands: no lease runs.
    Reserved,
    /// Has a consumer.
    Leased,
    /// Waits for room in its dead-letter queue.
    Held,
}

/// A message in memory. 64 bytes: one cache line.
#[derive(Debug)]
pub struct Resident {
    /// Its id.
    pub id: MessageId,
    /// Its body.
    pub body: Body,
    /// Its properties, if it has any.
    pub properties: Option<Arc<Properties>>,
    /// When it was accepted.
    pub produced_at: Time,
    /// When it expires; `Time::NEVER` if it does not.
    pub expires_at: Time,
    /// Index of its queue.
    pub queue: u32,
    /// How often it was handed over and counted.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: State,
    /// Its priority.
    pub priority: u8,
    /// How safe it was asked to be.
    pub level: Durability,
    /// Whether it was handed over before.
    pub redelivered: bool,
}

impl Resident {
    /// The message as it is shown.
    #[must_use]
    pub fn message(&self) -> Message {
        Message {
            id: self.id,
            body: Arc::clone(&self.body),
            properties: self.properties.clone(),
            priority: self.priority,
            attempt: self.attempt,
            produced_at: self.produced_at,
            redelivered: self.redelivered,
        }
    }
}

const _: () = assert!(cfg!(target_pointer_width = "32") || size_of::<Slot>() == 64);

#[derive(Debug)]
enum Slot {
    Vacant(u32),
    Taken(Resident),
}

#[derive(Debug)]
struct Chunk {
    slots: Vec<Slot>,
    taken: u32,
    first_vacant: u32,
    listed: bool,
}

const NO_SLOT: u32 = u32::MAX;

/// The table. A slot's number is used again after its message has gone; the message's id tells which message is meant.
#[derive(Debug, Default)]
pub struct Table {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Chunks with a vacant slot; the last is filled first.
    open: Vec<u32>,
    /// Numbers of chunks that were given back.
    absent: Vec<u32>,
    len: usize,
}

impl Table {
    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a message in and says where it is. Inlined, so that the message is written where it stays: to copy it there costs as much as all the rest.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub fn insert(&mut self, resident: Resident) -> u32 {
        let number = match self.open.last() {
            Some(&number) => number,
            None => self.add_chunk(),
        };
        let chunk = self.chunks[number as usize]
            .as_mut()
            .expect("an open chunk exists");
        let at = if chunk.first_vacant == NO_SLOT {
            chunk.slots.push(Slot::Taken(resident));
            chunk.slots.len() as u32 - 1
        } else {
            let at = chunk.first_vacant;
            let slot = &mut chunk.slots[at as usize];
            if let Slot::Vacant(next) = *slot {
                chunk.first_vacant = next;
            }
            *slot = Slot::Taken(resident);
            at
        };
        chunk.taken += 1;
        if chunk.taken as usize == CHUNK_SLOTS {
            chunk.listed = false;
            self.open.pop();
        }
        self.len += 1;
        number * CHUNK_SLOTS as u32 + at
    }

    #[cold]
    #[inline(never)]
    fn add_chunk(&mut self) -> u32 {
        let chunk = Some(Box::new(Chunk {
            slots: Vec::with_capacity(CHUNK_SLOTS),
            taken: 0,
            first_vacant: NO_SLOT,
            listed: true,
        }));
        let number = match self.absent.pop() {
            Some(number) => {
                self.chunks[number as usize] = chunk;
                number
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() as u32 - 1
            }
        };
        self.open.push(number);
        number
    }

    /// The message in a slot.
    #[must_use]
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Resident> {
        let chunk = self.chunks.get(slot as usize / CHUNK_SLOTS)?.as_ref()?;
        match chunk.slots.get(slot as usize % CHUNK_SLOTS)? {
            Slot::Taken(resident) => Some(resident),
            Slot::Vacant(_) => None,
        }
    }

    /// The message in a slot, to change.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Resident> {
        let chunk = self.chunks.get_mut(slot as usize / CHUNK_SLOTS)?.as_mut()?;
        match chunk.slots.get_mut(slot as usize % CHUNK_SLOTS)? {
            Slot::Taken(resident) => Some(resident),
            Slot::Vacant(_) => None,
        }
    }

    /// Whether the slot still holds this message, in this state.
    #[must_use]
    #[inline]
    pub fn is(&self, slot: u32, id: MessageId, state: State) -> bool {
        self.get(slot)
            .is_some_and(|resident| resident.id == id && resident.state == state)
    }

    /// Takes a message out; false if there was none. It is dropped where it stands: copying it out costs more than all the rest.
    #[inline]
    pub fn remove(&mut self, slot: u32) -> bool {
        let number = slot / CHUNK_SLOTS as u32;
        let at = slot % CHUNK_SLOTS as u32;
        let Some(Some(chunk)) = self.chunks.get_mut(number as usize) else {
            return false;
        };
        let Some(place @ Slot::Taken(_)) = chunk.slots.get_mut(at as usize) else {
            return false;
        };
        *place = Slot::Vacant(chunk.first_vacant);
        chunk.first_vacant = at;
        chunk.taken -= 1;
        self.len -= 1;
        if !chunk.listed {
            chunk.listed = true;
            self.open.push(number);
        } else if chunk.taken == 0 && self.open.len() > 1 {
            self.give_back(number);
        }
        true
    }

    /// Gives an empty chunk's memory back, unless it is the only one with room.
    fn give_back(&mut self, number: u32) {
        if let Some(at) = self.open.iter().rposition(|&open| open == number) {
            self.open.swap_remove(at);
            self.chunks[number as usize] = None;
            self.absent.push(number);
        }
    }

    /// Every message with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Resident)> {
        self.chunks
            .iter()
            .enumerate()
            .filter_map(|(number, chunk)| chunk.as_ref().map(|chunk| (number, chunk)))
            .flat_map(|(number, chunk)| {
                chunk
                    .slots
                    .iter()
                    .enumerate()
                    .filter_map(move |(at, slot)| match slot {
                        Slot::Taken(resident) => {
                            Some(((number * CHUNK_SLOTS + at) as u32, resident))
                        }
                        Slot::Vacant(_) => None,
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(id: u64) -> Resident {
        Resident {
            id: MessageId(id),
            body: Arc::from(&b"x"[..]),
            properties: None,
            produced_at: Time(0),
            expires_at: Time::NEVER,
            queue: 0,
            attempt: 0,
            state: State::Ready,
            priority: 0,
            level: Durability::Memory,
            redelivered: false,
        }
    }

    #[test]
    fn slots_are_used_again_and_chunks_given_back() {
        let mut table = Table::default();
        let slots: Vec<u32> = (0..10 * CHUNK_SLOTS as u64)
            .map(|id| table.insert(resident(id)))
            .collect();
        assert_eq!(table.len(), slots.len());
        for (id, &slot) in slots.iter().enumerate() {
            assert!(table.is(slot, MessageId(id as u64), State::Ready));
            assert!(table.remove(slot));
            assert!(!table.remove(slot));
        }
        assert!(table.is_empty());
        let kept = table.chunks.iter().filter(|chunk| chunk.is_some()).count();
        assert!(kept <= 2, "{kept} chunks are kept for no message");
        for id in 0..10 * CHUNK_SLOTS as u64 {
            table.insert(resident(id));
        }
        assert_eq!(table.chunks.len(), 10, "numbers of chunks are used again");
        assert_eq!(table.iter().count(), 10 * CHUNK_SLOTS);
    }
}
