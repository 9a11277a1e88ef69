//! Single flight: equal tasks that are unfinished share one attempt. Pure.
//!
//! A flight belongs to a key and consists of tasks. Its leader is queued for all of them, and the followers hold no slot. Flights are kept here and
//! not in the cache because they are made of the journal's unfinished tasks, so a restart finds them again.

use std::collections::HashMap;

use reel_protocol::TaskId;

/// The cache key by which tasks are equal: BLAKE3 over everything that changes the result.
pub type Key = [u8; 32];

#[derive(Debug)]
struct Flight {
    leader: TaskId,
    followers: Vec<TaskId>,
}

/// All flights, by their key and by their tasks.
#[derive(Debug, Default)]
pub struct Flights {
    by_key: HashMap<Key, Flight>,
    keys: HashMap<TaskId, Key>,
}

/// What the leaving of a task changed in its flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The task was in no flight, or was a follower.
    Unchanged,
    /// The task was the leader. The field is the new leader.
    Promoted(TaskId),
    /// The task was the last one of its flight.
    Ended,
}

impl Flights {
    /// Adds the task to the flight of `key`, which begins if there is none. Returns the leader: the task itself if the flight is new.
    pub fn join(&mut self, key: Key, id: TaskId) -> TaskId {
        let is_new = self.keys.insert(id, key).is_none();
        let flight = self.by_key.entry(key).or_insert(Flight { leader: id, followers: Vec::new() });
        if is_new && flight.leader != id {
            flight.followers.push(id);
        }
        flight.leader
    }

    /// Removes a task from its flight. If it was the leader, the next leader is the first follower that `may_lead`, or else the first one.
    pub fn leave(&mut self, id: TaskId, may_lead: impl Fn(TaskId) -> bool) -> Departure {
        let Some(key) = self.keys.remove(&id) else { return Departure::Unchanged };
        let Some(flight) = self.by_key.get_mut(&key) else { return Departure::Unchanged };
        if flight.leader != id {
            flight.followers.retain(|follower| *follower != id);
            return Departure::Unchanged;
        }
        if flight.followers.is_empty() {
            self.by_key.remove(&key);
            return Departure::Ended;
        }
        let position = flight.followers.iter().position(|follower| may_lead(*follower)).unwrap_or(0);
        flight.leader = flight.followers.remove(position);
        Departure::Promoted(flight.leader)
    }

    /// Makes a follower the leader of its flight. The former leader becomes its first follower.
    pub fn lead(&mut self, id: TaskId) {
        let Some(flight) = self.keys.get(&id).and_then(|key| self.by_key.get_mut(key)) else { return };
        if let Some(position) = flight.followers.iter().position(|follower| *follower == id) {
            flight.followers.remove(position);
            flight.followers.insert(0, std::mem::replace(&mut flight.leader, id));
        }
    }

    /// Whether the task is queued for itself, because it is a leader or in no flight.
    pub fn leads_or_alone(&self, id: TaskId) -> bool {
        self.keys.get(&id).and_then(|key| self.by_key.get(key)).is_none_or(|flight| flight.leader == id)
    }

    /// Returns all tasks of the flight that `id` is in, its leader first. Returns `id` alone if it is in no flight.
    pub fn members(&self, id: TaskId) -> Vec<TaskId> {
        match self.keys.get(&id).and_then(|key| self.by_key.get(key)) {
            Some(flight) => std::iter::once(flight.leader).chain(flight.followers.iter().copied()).collect(),
            None => vec![id],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; 32];

    #[test]
    fn the_first_leads_and_the_flight_outlives_it_until_its_last_task_leaves() {
        let mut flights = Flights::default();
        assert_eq!(flights.join(KEY, TaskId(1)), TaskId(1));
        assert_eq!(flights.join(KEY, TaskId(2)), TaskId(1));
        assert_eq!(flights.join(KEY, TaskId(3)), TaskId(1));
        assert_eq!(flights.join([8; 32], TaskId(4)), TaskId(4));
        assert!(flights.leads_or_alone(TaskId(1)) && !flights.leads_or_alone(TaskId(2)));
        assert_eq!(flights.members(TaskId(3)), [TaskId(1), TaskId(2), TaskId(3)]);
        assert_eq!(flights.leave(TaskId(2), |_| true), Departure::Unchanged);
        assert_eq!(flights.leave(TaskId(1), |_| true), Departure::Promoted(TaskId(3)));
        assert!(flights.leads_or_alone(TaskId(3)));
        flights.join(KEY, TaskId(6));
        flights.lead(TaskId(6));
        assert_eq!(flights.members(TaskId(3)), [TaskId(6), TaskId(3)]);
        flights.lead(TaskId(6));
        assert_eq!(flights.leave(TaskId(6), |_| true), Departure::Promoted(TaskId(3)));
        assert_eq!(flights.leave(TaskId(3), |_| true), Departure::Ended);
        assert_eq!(flights.join(KEY, TaskId(5)), TaskId(5));
    }

    #[test]
    fn whoever_may_lead_goes_before_older_followers() {
        let mut flights = Flights::default();
        for id in [1, 2, 3] {
            flights.join(KEY, TaskId(id));
        }
        assert_eq!(flights.leave(TaskId(1), |id| id == TaskId(3)), Departure::Promoted(TaskId(3)));
        assert_eq!(flights.leave(TaskId(3), |_| false), Departure::Promoted(TaskId(2)));
    }

    #[test]
    fn a_task_in_no_flight_is_its_own() {
        let mut flights = Flights::default();
        assert!(flights.leads_or_alone(TaskId(1)));
        assert_eq!(flights.members(TaskId(1)), [TaskId(1)]);
        assert_eq!(flights.leave(TaskId(1), |_| true), Departure::Unchanged);
    }
}
