//! Ordered maps and sets for WebAssembly, where the standard library's cost 4 KB of code for each pair of types: B-trees of two levels, a row of chunks, in a tenth of
//! that. What takes O(log n) there takes O(n / CHUNK) moved pointers in the worst case here, which up to a million entries is still about a microsecond.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries in a chunk: few enough to be moved along, many enough for the row of chunks to stay short.
const CHUNK: usize = 64;

/// As `std::collections::BTreeMap`, as far as the engine uses it. No chunk is empty; entries are in order within and between chunks.
#[derive(Clone, Debug)]
pub struct BTreeMap<K, V> {
    chunks: Vec<Vec<(K, V)>>,
    len: usize,
}

/// Where an entry is, or would be: the chunk and the place in it.
type Place = (usize, usize);

impl<K, V> Default for BTreeMap<K, V> {
    fn default() -> Self {
        BTreeMap::new()
    }
}

/// By entries: how they fell into chunks does not count.
impl<K: PartialEq, V: PartialEq> PartialEq for BTreeMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K, V> BTreeMap<K, V> {
    pub const fn new() -> Self {
        BTreeMap {
            chunks: Vec::new(),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn clear(&mut self) {
        *self = BTreeMap::new();
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks
            .iter()
            .flatten()
            .map(|(key, value)| (key, value))
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.chunks.iter_mut().flatten().map(|(_, value)| value)
    }

    pub fn into_keys(self) -> impl Iterator<Item = K> {
        self.into_iter().map(|(key, _)| key)
    }

    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for chunk in &mut self.chunks {
            chunk.retain_mut(|(key, value)| keep(key, value));
        }
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.len = self.chunks.iter().map(Vec::len).sum();
    }

    fn take(&mut self, (chunk, at): Place) -> (K, V) {
        let entry = self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        }
        self.len -= 1;
        entry
    }

    /// Puts an entry where it belongs; returns where it is then.
    fn put(&mut self, (chunk, at): Place, entry: (K, V)) -> Place {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        let entries = &mut self.chunks[chunk];
        entries.insert(at, entry);
        self.len += 1;
        if entries.len() <= CHUNK {
            return (chunk, at);
        }
        let upper = entries.split_off(CHUNK / 2);
        self.chunks.insert(chunk + 1, upper);
        if at < CHUNK / 2 {
            (chunk, at)
        } else {
            (chunk + 1, at - CHUNK / 2)
        }
    }
}

impl<K: Ord, V> BTreeMap<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let after = self
            .chunks
            .partition_point(|chunk| chunk[0].0.borrow() <= key);
        let Some(chunk) = after.checked_sub(1) else {
            return Err((0, 0));
        };
        match self.chunks[chunk].binary_search_by(|(own, _)| own.borrow().cmp(key)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        Some(&self.chunks[chunk][at].1)
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        Some(&mut self.chunks[chunk][at].1)
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((chunk, at)) => Some(std::mem::replace(&mut self.chunks[chunk][at].1, value)),
            Err(place) => {
                self.put(place, (key, value));
                None
            }
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        Some(self.take(place).1)
    }

    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry { map: self, key }
    }
}

/// A place for a value, perhaps taken.
pub struct Entry<'a, K, V> {
    map: &'a mut BTreeMap<K, V>,
    key: K,
}

impl<'a, K: Ord, V> Entry<'a, K, V> {
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        let (chunk, at) = match self.map.find(&self.key) {
            Ok(place) => place,
            Err(place) => self.map.put(place, (self.key, make())),
        };
        &mut self.map.chunks[chunk][at].1
    }

    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for BTreeMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K, V> IntoIterator for BTreeMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.into_iter().flatten()
    }
}

impl<'a, K, V> IntoIterator for &'a BTreeMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<
        std::iter::Flatten<std::slice::Iter<'a, Vec<(K, V)>>>,
        fn(&'a (K, V)) -> (&'a K, &'a V),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks
            .iter()
            .flatten()
            .map(|(key, value)| (key, value))
    }
}

impl<K: Serialize, V: Serialize> Serialize for BTreeMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for BTreeMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// As `std::collections::BTreeSet`, as far as the engine uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct BTreeSet<K>(BTreeMap<K, ()>);

impl<K> Default for BTreeSet<K> {
    fn default() -> Self {
        BTreeSet::new()
    }
}

impl<K> BTreeSet<K> {
    pub const fn new() -> Self {
        BTreeSet(BTreeMap::new())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }

    pub fn first(&self) -> Option<&K> {
        self.iter().next()
    }

    pub fn pop_first(&mut self) -> Option<K> {
        (!self.is_empty()).then(|| self.0.take((0, 0)).0)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.0.retain(|key, ()| keep(key));
    }
}

impl<K: Ord> BTreeSet<K> {
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).is_some()
    }
}

impl<K: Ord> FromIterator<K> for BTreeSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        BTreeSet(keys.into_iter().map(|key| (key, ())).collect())
    }
}

impl<K: Ord> Extend<K> for BTreeSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K> IntoIterator for BTreeSet<K> {
    type Item = K;
    type IntoIter = std::iter::Map<<BTreeMap<K, ()> as IntoIterator>::IntoIter, fn((K, ())) -> K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, ())| key)
    }
}

/// The standard library's maps and sets are the model: the same operations must give the same answers.
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap as StdMap, BTreeSet as StdSet};

    fn whole<K: PartialOrd, V>(map: &BTreeMap<K, V>) {
        assert!(
            map.chunks
                .iter()
                .all(|chunk| (1..=CHUNK).contains(&chunk.len()))
        );
        assert_eq!(map.len, map.chunks.iter().map(Vec::len).sum::<usize>());
        assert!(map.keys().is_sorted());
    }

    fn same_map(own: &BTreeMap<u16, u32>, std: &StdMap<u16, u32>) {
        whole(own);
        assert_eq!(own.len(), std.len());
        assert_eq!(own.is_empty(), std.is_empty());
        assert!(own.iter().eq(std.iter()) && own.iter().rev().eq(std.iter().rev()));
        assert!(own.into_iter().eq(std.iter()) && own.values().eq(std.values()));
        assert_eq!(own.first_key_value(), std.first_key_value());
    }

    proptest! {
        #[test]
        fn maps(steps in proptest::collection::vec((0..6_u8, 0..600_u16, any::<u32>()), 0..1500)) {
            let (mut own, mut std) = (BTreeMap::new(), StdMap::new());
            for (verb, key, value) in steps {
                match verb {
                    0..=2 => prop_assert_eq!(own.insert(key, value), std.insert(key, value)),
                    3 => prop_assert_eq!(own.remove(&key), std.remove(&key)),
                    4 => {
                        *own.entry(key).or_default() ^= value;
                        *std.entry(key).or_default() ^= value;
                    }
                    _ => prop_assert_eq!(own.get(&key), std.get(&key)),
                }
                prop_assert_eq!(own.contains_key(&key), std.contains_key(&key));
                prop_assert_eq!(own.get_mut(&key), std.get_mut(&key));
            }
            same_map(&own, &std);
            own.retain(|key, value| (u32::from(*key) ^ *value) % 3 == 0);
            std.retain(|key, value| (u32::from(*key) ^ *value) % 3 == 0);
            own.values_mut().chain(std.values_mut()).for_each(|value| *value /= 2);
            same_map(&own, &std);
            prop_assert_eq!(&own.clone().into_iter().collect::<BTreeMap<_, _>>(), &own);
            prop_assert!(own.clone().into_keys().eq(std.into_keys()));
            own.clear();
            prop_assert!(own.is_empty() && own.iter().next().is_none());
        }

        #[test]
        fn sets(steps in proptest::collection::vec((0..4_u8, 0..600_u16), 0..1500)) {
            let (mut own, mut std) = (BTreeSet::default(), StdSet::new());
            for (verb, key) in steps {
                match verb {
                    0..=1 => prop_assert_eq!(own.insert(key), std.insert(key)),
                    2 => prop_assert_eq!(own.remove(&key), std.remove(&key)),
                    _ => prop_assert_eq!(own.pop_first(), std.pop_first()),
                }
                prop_assert_eq!(own.contains(&key), std.contains(&key));
                prop_assert_eq!(own.first(), std.first());
            }
            whole(&own.0);
            prop_assert_eq!((own.len(), own.is_empty()), (std.len(), std.is_empty()));
            own.extend([1, 700]);
            std.extend([1, 700]);
            own.retain(|key| key % 2 == 0);
            std.retain(|key| key % 2 == 0);
            prop_assert!(own.iter().eq(std.iter()));
            prop_assert_eq!(&own.iter().copied().collect::<BTreeSet<_>>(), &own);
            prop_assert!(own.clone().into_iter().eq(std));
            own.clear();
            prop_assert!(own.is_empty() && own.first().is_none());
        }
    }

    /// A record that one home wrote is read by every other.
    #[test]
    fn serialised_as_the_standard_librarys() {
        let std: StdMap<String, u32> = (0..200).map(|n| (n.to_string(), n)).collect();
        let own: BTreeMap<String, u32> = std.clone().into_iter().collect();
        let bytes = postcard::to_allocvec(&own).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&std).unwrap());
        assert_eq!(
            postcard::from_bytes::<BTreeMap<String, u32>>(&bytes).unwrap(),
            own
        );
        assert_eq!(own.get("7"), Some(&7));
    }
}
