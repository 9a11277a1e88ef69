//! The cap of the disk tier: the bytes that it stores, the bytes reserved for files that are being written, and the limit. Can be used on any thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CacheError;

/// A handle to the account. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cap(Arc<Mutex<Account>>);

/// All numbers are in bytes.
#[derive(Debug, Default)]
struct Account {
    limit: u64,
    /// The bytes that are stored. None until they were counted; until then nothing is reserved.
    held: Option<u64>,
    granted: u64,
}

/// Reserved room for files that are not counted as stored yet. Dropping it releases the room.
#[derive(Debug)]
pub struct Granted {
    cap: Cap,
    bytes: u64,
}

impl Cap {
    /// Returns a cap with this limit. Nothing can be reserved before [`Cap::count`].
    pub fn new(limit_bytes: u64) -> Self {
        let cap = Self::default();
        cap.set_limit(limit_bytes);
        cap
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the limit.
    pub fn limit_bytes(&self) -> u64 {
        self.account().limit
    }

    /// Sets the limit. Stored and reserved bytes stay as they are.
    pub fn set_limit(&self, bytes: u64) {
        self.account().limit = bytes;
    }

    /// Returns the size of all files that have rows; 0 before they were counted.
    pub fn held_bytes(&self) -> u64 {
        self.account().held.unwrap_or(0)
    }

    /// Sets the stored bytes.
    pub fn count(&self, bytes: u64) {
        self.account().held = Some(bytes);
    }

    /// Adds stored bytes.
    pub fn add(&self, bytes: u64) {
        let mut account = self.account();
        account.held = Some(account.held.unwrap_or(0).saturating_add(bytes));
    }

    /// Subtracts stored bytes.
    pub fn subtract(&self, bytes: u64) {
        let mut account = self.account();
        account.held = Some(account.held.unwrap_or(0).saturating_sub(bytes));
    }

    /// Returns how many bytes must be removed so that `needed_bytes` fit. It is 0 if no bytes are needed, even beyond the limit.
    pub fn excess_bytes(&self, needed_bytes: u64) -> u64 {
        self.account().excess_bytes(needed_bytes)
    }

    /// Reserves room. The error is what [`Cap::excess_bytes`] returns at this moment.
    pub fn grant(&self, needed_bytes: u64) -> Result<Granted, u64> {
        let mut account = self.account();
        match account.excess_bytes(needed_bytes) {
            0 => {
                account.granted += needed_bytes;
                Ok(Granted { cap: self.clone(), bytes: needed_bytes })
            }
            excess_bytes => Err(excess_bytes),
        }
    }

    /// Returns the error for a request that has no room.
    pub fn full(&self, needed_bytes: u64) -> CacheError {
        let account = self.account();
        CacheError::Full { held_bytes: account.taken_bytes(), limit_bytes: account.limit, needed_bytes }
    }
}

impl Account {
    fn taken_bytes(&self) -> u64 {
        self.held.unwrap_or(u64::MAX).saturating_add(self.granted)
    }

    fn excess_bytes(&self, needed_bytes: u64) -> u64 {
        if needed_bytes == 0 {
            return 0;
        }
        self.taken_bytes().saturating_add(needed_bytes).saturating_sub(self.limit)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let mut account = self.cap.account();
        account.granted = account.granted.saturating_sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_granted_once_and_comes_back() {
        let cap = Cap::new(100);
        assert!(cap.grant(1).is_err(), "it is not counted yet");
        assert!(cap.grant(0).is_ok(), "what needs no room always fits");
        cap.count(40);
        let half = cap.grant(50).unwrap();
        assert_eq!(cap.excess_bytes(11), 1);
        assert_eq!(cap.grant(11).unwrap_err(), 1);
        drop(half);
        cap.add(30);
        assert_eq!((cap.held_bytes(), cap.excess_bytes(31)), (70, 1));
        cap.set_limit(60);
        assert_eq!((cap.excess_bytes(1), cap.excess_bytes(0)), (11, 0));
        cap.subtract(80);
        assert_eq!(cap.held_bytes(), 0);
    }
}
