//! The ready queues decide which task starts next. Pure.
//!
//! Tasks are grouped by target (provider and model), so that a task that gets no permit never blocks tasks of another target. Within a target they
//! are ordered by priority. Within a priority, clients take turns, and within a client its lanes take turns. A lane is a batch or a connection.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};

use reel_protocol::TaskId;

use crate::domain::Target;

/// The unit that takes turns within a client: a batch, or the connection that sent single tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// All tasks of one batch.
    Batch(u64),
    /// The single tasks of one connection.
    Connection(u64),
}

/// The position of a task in the queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueuePosition {
    /// The provider and model whose permit it needs. None for tasks that need no permit.
    pub target: Option<Target>,
    /// The priority. Higher ones start first.
    pub priority: i8,
    /// The client whose turn the task uses.
    pub client: Arc<str>,
    /// The lane of the client whose turn the task uses.
    pub lane: Lane,
}

/// All tasks that could start.
#[derive(Debug, Default)]
pub struct Ready {
    targets: Ring<Option<Target>, BTreeMap<Reverse<i8>, Clients>>,
    positions: HashMap<TaskId, QueuePosition>,
}

type Clients = Ring<Arc<str>, Ring<Lane, BTreeSet<TaskId>>>;

impl Ready {
    /// Adds a task, or moves it to another position.
    pub fn insert(&mut self, id: TaskId, position: QueuePosition) {
        self.remove(id);
        let priorities = self.targets.entry(position.target.clone());
        let clients = priorities.entry(Reverse(position.priority)).or_default();
        clients.entry(Arc::clone(&position.client)).entry(position.lane).insert(id);
        self.positions.insert(id, position);
    }

    /// Removes a task. Returns false if it was not in the queues.
    pub fn remove(&mut self, id: TaskId) -> bool {
        let Some(position) = self.positions.remove(&id) else { return false };
        self.targets.update(&position.target, |priorities| {
            if let Some(clients) = priorities.get_mut(&Reverse(position.priority)) {
                clients.update(&position.client, |lanes| {
                    lanes.update(&position.lane, |tasks| {
                        tasks.remove(&id);
                        tasks.is_empty()
                    });
                    lanes.is_empty()
                });
                if clients.is_empty() {
                    priorities.remove(&Reverse(position.priority));
                }
            }
            priorities.is_empty()
        });
        true
    }

    /// Removes and returns the next task among those whose target satisfies `has_permit`.
    pub fn pick(&mut self, has_permit: impl Fn(&Option<Target>) -> bool) -> Option<(TaskId, QueuePosition)> {
        // The highest priority of all tasks that can start wins. Among targets with such a task, the one whose last turn is longest ago wins.
        let (target, _) = self
            .targets
            .iter()
            .filter(|(target, _)| has_permit(target))
            .filter_map(|(target, priorities)| Some((target.clone(), priorities.keys().next()?.0)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        let (_, clients) = self.targets.get(&target)?.iter().next()?;
        let (_, lanes) = clients.iter().next()?;
        let (_, tasks) = lanes.iter().next()?;
        let id = tasks.first().copied()?;
        let position = self.positions.get(&id)?.clone();
        self.targets.rotate(&target);
        if let Some(clients) = self
            .targets
            .get_mut(&target)
            .and_then(|priorities| priorities.get_mut(&Reverse(position.priority)))
        {
            clients.rotate(&position.client);
            if let Some(lanes) = clients.get_mut(&position.client) {
                lanes.rotate(&position.lane);
            }
        }
        self.remove(id);
        Some((id, position))
    }

    /// Returns the priority that a task is queued with. None if it is not in the queues.
    pub fn priority(&self, id: TaskId) -> Option<i8> {
        self.positions.get(&id).map(|position| position.priority)
    }

    /// Returns the targets that tasks are queued for.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter_map(|(target, _)| target.as_ref())
    }

    /// Returns the tasks that are queued for this target.
    pub fn waiting_for<'a>(&'a self, target: &Target) -> impl Iterator<Item = TaskId> + use<'a> {
        let priorities = self.targets.get(&Some(target.clone()));
        let clients = priorities.into_iter().flat_map(BTreeMap::values).flat_map(Ring::iter);
        let lanes = clients.flat_map(|(_, lanes)| lanes.iter());
        lanes.flat_map(|(_, tasks)| tasks.iter().copied())
    }

    /// Whether the task is in the queues.
    pub fn contains(&self, id: TaskId) -> bool {
        self.positions.contains_key(&id)
    }

    /// Returns the number of tasks.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are no tasks.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

/// Largest number of removed keys whose last turn is remembered. When there are more, all are forgotten, which costs each at most one turn.
const REMEMBERED: usize = 1_024;

/// A map whose keys take turns. The key whose last turn is longest ago comes first. A key that never had a turn comes before all that had one.
#[derive(Debug)]
struct Ring<K, V> {
    /// The keys in the order of their turns, which is the order of `served`.
    turns: VecDeque<K>,
    values: HashMap<K, V>,
    /// When each key had its last turn, including removed keys: a key that returns keeps its position.
    served: HashMap<K, u64>,
    turn: u64,
}

impl<K, V> Default for Ring<K, V> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), values: HashMap::new(), served: HashMap::new(), turn: 0 }
    }
}

impl<K: Clone + Eq + Hash, V: Default> Ring<K, V> {
    fn entry(&mut self, key: K) -> &mut V {
        if !self.values.contains_key(&key) {
            let served = self.served_at(&key);
            let position = self.turns.partition_point(|turn| self.served_at(turn) <= served);
            self.turns.insert(position, key.clone());
        }
        self.values.entry(key).or_default()
    }

    fn served_at(&self, key: &K) -> u64 {
        self.served.get(key).copied().unwrap_or(0)
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key)
    }

    /// Returns the entries in the order of their turns.
    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.turns.iter().filter_map(|key| self.values.get_key_value(key))
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Moves a key that had its turn to the end.
    fn rotate(&mut self, key: &K) {
        if self.served.len() >= self.values.len() + REMEMBERED {
            self.served.retain(|key, _| self.values.contains_key(key));
        }
        self.turn += 1;
        self.served.insert(key.clone(), self.turn);
        if let Some(position) = self.turns.iter().position(|turn| turn == key)
            && let Some(key) = self.turns.remove(position)
        {
            self.turns.push_back(key);
        }
    }

    /// Changes a value, and removes it if `change` returns true because the value is empty.
    fn update(&mut self, key: &K, change: impl FnOnce(&mut V) -> bool) {
        if self.values.get_mut(key).is_some_and(change) {
            self.values.remove(key);
            self.turns.retain(|turn| turn != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(provider: Option<&str>, priority: i8, client: &str, lane: u64) -> QueuePosition {
        QueuePosition {
            target: provider.map(|provider| Target { provider: provider.into(), model: None }),
            priority,
            client: client.into(),
            lane: Lane::Connection(lane),
        }
    }

    fn order(ready: &mut Ready) -> Vec<u64> {
        std::iter::from_fn(|| ready.pick(|_| true).map(|(id, _)| id.0)).collect()
    }

    #[test]
    fn clients_take_turns_then_the_lanes_of_a_client_and_a_lane_keeps_its_order() {
        let mut ready = Ready::default();
        for id in 1..=4 {
            ready.insert(TaskId(id), position(None, 0, "editor", 1));
        }
        ready.insert(TaskId(5), position(None, 0, "editor", 2));
        ready.insert(TaskId(6), position(None, 0, "script", 3));
        assert_eq!(order(&mut ready), [1, 6, 5, 2, 3, 4]);
    }

    #[test]
    fn five_hundred_tasks_of_one_client_let_another_clients_single_one_pass() {
        let mut ready = Ready::default();
        for id in 0..500 {
            ready.insert(TaskId(id), position(None, 0, "batch", 1));
        }
        assert_eq!(ready.pick(|_| true).map(|(id, _)| id.0), Some(0));
        ready.insert(TaskId(900), position(None, 0, "single", 2));
        assert_eq!(ready.pick(|_| true).map(|(id, _)| id.0), Some(900));
    }

    #[test]
    fn a_client_that_comes_back_for_each_task_gets_its_turn_and_no_more() {
        let mut ready = Ready::default();
        for id in 0..500 {
            ready.insert(TaskId(id), position(None, 0, "batch", 1));
        }
        let mut served = Vec::new();
        for id in 900..910 {
            ready.insert(TaskId(id), position(None, 0, "single", 2));
            served.extend((0..2).filter_map(|_| ready.pick(|_| true)).map(|(id, _)| id.0));
        }
        assert_eq!(served.iter().filter(|id| **id < 500).count(), 10, "{served:?}");
    }

    #[test]
    fn priority_goes_before_turns_and_a_provider_without_a_permit_blocks_nobody() {
        let mut ready = Ready::default();
        ready.insert(TaskId(1), position(Some("slow"), 50, "a", 1));
        ready.insert(TaskId(2), position(Some("free"), 0, "a", 1));
        ready.insert(TaskId(3), position(Some("free"), 9, "a", 1));
        let free_only =
            |target: &Option<Target>| target.as_ref().is_some_and(|target| &*target.provider == "free");
        assert_eq!(ready.pick(free_only).map(|(id, _)| id.0), Some(3));
        assert_eq!(ready.pick(free_only).map(|(id, _)| id.0), Some(2));
        assert_eq!(ready.pick(free_only).map(|(id, _)| id.0), None);
        assert_eq!(order(&mut ready), [1]);
    }

    #[test]
    fn inserting_again_moves_a_task() {
        let mut ready = Ready::default();
        ready.insert(TaskId(1), position(None, 0, "a", 1));
        ready.insert(TaskId(2), position(None, 0, "a", 1));
        ready.insert(TaskId(2), position(None, 7, "a", 1));
        assert_eq!(order(&mut ready), [2, 1]);
        assert!(ready.is_empty() && ready.targets.is_empty());
    }

    proptest! {
        #[test]
        fn every_task_that_went_in_comes_out_once(
            steps in prop::collection::vec((0..40_u64, 0..3_u8, -1..2_i8, 0..3_u8, 0..2_u64, any::<bool>()), 0..120)
        ) {
            let mut ready = Ready::default();
            let mut expected = BTreeSet::new();
            for (id, provider, priority, client, lane, is_removal) in steps {
                if is_removal {
                    prop_assert_eq!(ready.remove(TaskId(id)), expected.remove(&id));
                } else {
                    ready.insert(TaskId(id), position(Some(&provider.to_string()), priority, &client.to_string(), lane));
                    expected.insert(id);
                }
                prop_assert_eq!(ready.positions.len(), expected.len());
            }
            let mut out = order(&mut ready);
            out.sort_unstable();
            prop_assert!(out.into_iter().eq(expected));
            prop_assert!(ready.targets.is_empty());
        }
    }
}
