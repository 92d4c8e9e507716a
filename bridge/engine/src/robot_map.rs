//! Maps and sets by robot, in the order of registration: what every event looks things up in.
//!
//! Robots are numbered without gaps, so that 64 neighbours share a page: a bit for each, and the values of those that are
//! there, side by side. In a map over a whole fleet a number leads straight to its page, however large the fleet is; a
//! few robots far apart have a page each, which is searched for. Nothing is kept for robots that are not there.

use crate::inventory::RobotKey;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Index;

/// Robots of a page: as many as a word has bits.
const PAGE: u32 = u64::BITS;

/// A map by robot, ordered by robot.
///
/// ```
/// use rollcall_engine::{RobotKey, RobotMap};
///
/// let map: RobotMap<_> = [(RobotKey(70), "b"), (RobotKey(3), "a")].into_iter().collect();
/// assert_eq!(map.get(&RobotKey(70)), Some(&"b"));
/// assert_eq!(map.keys().collect::<Vec<_>>(), [RobotKey(3), RobotKey(70)]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RobotMap<V> {
    /// Ordered by number, none empty. Robots come in at the back, and those that wait leave at the front.
    pages: VecDeque<Page<V>>,
    len: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Page<V> {
    number: u32,
    /// A bit per robot that is there.
    present: u64,
    /// Their values, in order.
    values: Vec<V>,
}

/// A set of robots, ordered.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RobotSet(RobotMap<()>);

impl<V> Page<V> {
    const fn has(&self, bit: u64) -> bool {
        self.present & bit != 0
    }

    /// Where the value of the robot with this bit is, or would be.
    const fn rank(&self, bit: u64) -> usize {
        (self.present & (bit - 1)).count_ones() as usize
    }

    fn keys(&self) -> impl Iterator<Item = RobotKey> + Clone + use<V> {
        let first = self.number * PAGE;
        let mut rest = self.present;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(RobotKey(first + bit))
        })
    }

    fn insert(&mut self, bit: u64, value: V) -> Option<V> {
        let rank = self.rank(bit);
        if self.has(bit) {
            return Some(std::mem::replace(&mut self.values[rank], value));
        }
        // From one up, so that a robot without neighbours pays for itself only.
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(self.values.len().max(1));
        }
        self.values.insert(rank, value);
        self.present |= bit;
        None
    }
}

const fn split(key: RobotKey) -> (u32, u64) {
    (key.0 / PAGE, 1 << (key.0 % PAGE))
}

impl<V> RobotMap<V> {
    /// An empty map, which takes no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pages: VecDeque::new(),
            len: 0,
        }
    }

    /// Where the page is, or where it would have to be.
    fn place(&self, number: u32) -> Result<usize, usize> {
        let (Some(first), Some(last)) = (self.pages.front(), self.pages.back()) else {
            return Err(0);
        };
        if number < first.number {
            return Err(0);
        }
        if number > last.number {
            return Err(self.pages.len());
        }
        // Numbers grow by one at least: that bounds the place from both ends, to a single one where none is left out.
        let (before, behind) = (number - first.number, last.number - number);
        let mut low = (self.pages.len() - 1).saturating_sub(behind as usize);
        let mut high = self.pages.len().min(before as usize + 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.pages[middle].number.cmp(&number) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// How many robots are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The robot's value.
    #[must_use]
    pub fn get(&self, key: &RobotKey) -> Option<&V> {
        let (number, bit) = split(*key);
        let page = &self.pages[self.place(number).ok()?];
        page.has(bit).then(|| &page.values[page.rank(bit)])
    }

    /// The robot's value, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, key: &RobotKey) -> Option<&mut V> {
        let (number, bit) = split(*key);
        let place = self.place(number).ok()?;
        let page = &mut self.pages[place];
        let rank = page.rank(bit);
        page.has(bit).then(|| &mut page.values[rank])
    }

    /// Whether the robot is in it.
    #[must_use]
    pub fn contains_key(&self, key: &RobotKey) -> bool {
        let (number, bit) = split(*key);
        self.place(number)
            .is_ok_and(|place| self.pages[place].has(bit))
    }

    /// Puts the robot in, and returns the value that it had.
    pub fn insert(&mut self, key: RobotKey, value: V) -> Option<V> {
        let (number, bit) = split(key);
        let place = self.place(number).unwrap_or_else(|place| {
            let page = Page {
                number,
                present: 0,
                values: Vec::new(),
            };
            self.pages.insert(place, page);
            place
        });
        let old = self.pages[place].insert(bit, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes the robot out, and returns its value.
    pub fn remove(&mut self, key: &RobotKey) -> Option<V> {
        let (number, bit) = split(*key);
        let place = self.place(number).ok()?;
        let page = &mut self.pages[place];
        if !page.has(bit) {
            return None;
        }
        let old = page.values.remove(page.rank(bit));
        page.present &= !bit;
        if page.present == 0 {
            self.pages.remove(place);
        }
        self.len -= 1;
        Some(old)
    }

    /// Takes everybody out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Everybody in order.
    pub fn iter(&self) -> impl Iterator<Item = (RobotKey, &V)> + Clone {
        self.pages
            .iter()
            .flat_map(|page| page.keys().zip(&page.values))
    }

    /// Everybody in order, values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (RobotKey, &mut V)> {
        self.pages
            .iter_mut()
            .flat_map(|page| page.keys().zip(&mut page.values))
    }

    /// Everybody behind `after`, in order; without it, everybody.
    pub fn iter_after(&self, after: Option<RobotKey>) -> impl Iterator<Item = (RobotKey, &V)> {
        let place = after.map_or(Ok(0), |after| self.place(split(after).0));
        self.pages
            .range(place.unwrap_or_else(|place| place)..)
            .flat_map(|page| page.keys().zip(&page.values))
            .skip_while(move |(key, _)| after.is_some_and(|after| *key <= after))
    }

    /// Who is in it, in order.
    pub fn keys(&self) -> impl Iterator<Item = RobotKey> {
        self.pages.iter().flat_map(Page::keys)
    }

    /// The values in the order of their robots.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.pages.iter().flat_map(|page| &page.values)
    }

    /// The values in the order of their robots, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.pages.iter_mut().flat_map(|page| &mut page.values)
    }
}

impl<V> Default for RobotMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for RobotMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V> Index<&RobotKey> for RobotMap<V> {
    type Output = V;

    fn index(&self, key: &RobotKey) -> &V {
        self.get(key)
            .unwrap_or_else(|| panic!("{key:?} is not in the map"))
    }
}

impl<V> Extend<(RobotKey, V)> for RobotMap<V> {
    fn extend<I: IntoIterator<Item = (RobotKey, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<V> FromIterator<(RobotKey, V)> for RobotMap<V> {
    fn from_iter<I: IntoIterator<Item = (RobotKey, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl RobotSet {
    /// An empty set, which takes no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(RobotMap::new())
    }

    /// How many robots are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the robot is in it.
    #[must_use]
    pub fn contains(&self, key: &RobotKey) -> bool {
        self.0.contains_key(key)
    }

    /// Puts the robot in: whether it was not there.
    pub fn insert(&mut self, key: RobotKey) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Takes the robot out: whether it was there.
    pub fn remove(&mut self, key: &RobotKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// Takes everybody out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The lowest number.
    #[must_use]
    pub fn first(&self) -> Option<RobotKey> {
        self.iter().next()
    }

    /// Everybody in order.
    pub fn iter(&self) -> impl Iterator<Item = RobotKey> {
        self.0.keys()
    }

    /// Everybody behind `after`, in order; without it, everybody.
    pub fn iter_after(&self, after: Option<RobotKey>) -> impl Iterator<Item = RobotKey> {
        self.0.iter_after(after).map(|(key, ())| key)
    }
}

impl fmt::Debug for RobotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<RobotKey> for RobotSet {
    fn from_iter<I: IntoIterator<Item = RobotKey>>(robots: I) -> Self {
        Self(robots.into_iter().map(|key| (key, ())).collect())
    }
}
