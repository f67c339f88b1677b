//! A first-in-first-out list of positions in chunks: it grows without copying and gives memory back as it shrinks.

use std::collections::VecDeque;

use crate::model::MessageId;

use super::Position;

const CHUNK_ITEMS: usize = 512;

/// A position without the padding that a 64-bit id brings: 12 bytes for every message that waits.
#[derive(Clone, Copy, Debug)]
struct Packed([u32; 3]);

impl From<Position> for Packed {
    #[inline]
    fn from(position: Position) -> Packed {
        let id = position.id.0;
        Packed([(id >> 32) as u32, id as u32, position.slot])
    }
}

impl From<Packed> for Position {
    #[inline]
    fn from(Packed([high, low, slot]): Packed) -> Position {
        Position {
            id: MessageId(u64::from(high) << 32 | u64::from(low)),
            slot,
        }
    }
}

/// The list. The first chunk is drained from `head`, the last one filled.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    chunks: VecDeque<Vec<Packed>>,
    head: usize,
    len: usize,
}

impl Chunked {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, position: Position) {
        let item = Packed::from(position);
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_ITEMS => chunk.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_ITEMS);
                chunk.push(item);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn front(&self) -> Option<Position> {
        self.chunks
            .front()?
            .get(self.head)
            .map(|item| (*item).into())
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Position> {
        let only = self.chunks.len() == 1;
        let chunk = self.chunks.front_mut()?;
        let item = *chunk.get(self.head)?;
        self.head += 1;
        self.len -= 1;
        if self.head == chunk.len() {
            self.head = 0;
            if only {
                chunk.clear();
            } else {
                self.chunks.pop_front();
            }
        }
        Some(item.into())
    }

    /// The first positions, as far as they stand in one chunk.
    pub(super) fn first_few(&self, most: usize) -> impl Iterator<Item = Position> {
        let chunk = self.chunks.front();
        let rest = chunk.map_or(&[][..], |chunk| &chunk[self.head..]);
        rest.iter().take(most).map(|item| (*item).into())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Position> {
        self.chunks
            .iter()
            .enumerate()
            .flat_map(|(at, chunk)| {
                let from = if at == 0 { self.head } else { 0 };
                chunk[from..].iter()
            })
            .map(|item| (*item).into())
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Position) -> bool) {
        let mut kept = Chunked::default();
        for item in self.iter() {
            if keep(&item) {
                kept.push(item);
            }
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(id: u64) -> Position {
        Position {
            id: MessageId(id << 30),
            slot: id as u32,
        }
    }

    #[test]
    fn keeps_the_order_over_chunks() {
        let mut list = Chunked::default();
        let mut out = Vec::new();
        for n in 0..5000 {
            list.push(position(n));
            if n % 3 == 0 {
                out.extend(list.pop());
            }
        }
        assert_eq!(list.iter().next(), list.front());
        list.retain(|at| at.slot.is_multiple_of(2));
        let even = list.len();
        assert_eq!(list.iter().count(), even);
        while let Some(at) = list.pop() {
            assert_eq!(at, position(u64::from(at.slot)));
            out.push(at);
        }
        assert!(out.is_sorted());
        assert_eq!(list.len(), 0);
        list.push(position(7));
        assert_eq!(list.pop(), Some(position(7)));
    }
}
