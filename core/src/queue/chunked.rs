//! A first-in-first-out list in chunks: it grows without copying and gives memory back as it shrinks.

use std::collections::VecDeque;

const CHUNK_ITEMS: usize = 512;

/// The list. The first chunk is drained from `head`, the last one filled.
#[derive(Debug)]
pub(super) struct Chunked<T> {
    chunks: VecDeque<Vec<T>>,
    head: usize,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Chunked {
            chunks: VecDeque::new(),
            head: 0,
            len: 0,
        }
    }
}

impl<T: Copy> Chunked<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, item: T) {
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
    pub(super) fn front(&self) -> Option<T> {
        self.chunks.front()?.get(self.head).copied()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
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
        Some(item)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.chunks
            .iter()
            .enumerate()
            .flat_map(|(at, chunk)| {
                let from = if at == 0 { self.head } else { 0 };
                chunk[from..].iter()
            })
            .copied()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
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
    use super::Chunked;

    #[test]
    fn keeps_the_order_over_chunks() {
        let mut list = Chunked::default();
        let mut out = Vec::new();
        for n in 0..5000 {
            list.push(n);
            if n % 3 == 0 {
                out.extend(list.pop());
            }
        }
        assert_eq!(list.iter().next(), list.front());
        list.retain(|n| n % 2 == 0);
        let even = list.len();
        assert_eq!(list.iter().count(), even);
        while let Some(n) = list.pop() {
            out.push(n);
        }
        assert!(out.is_sorted());
        assert_eq!(list.len(), 0);
        list.push(7);
        assert_eq!(list.pop(), Some(7));
    }
}
