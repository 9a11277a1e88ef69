//! Looks requests up. A pass over the tables in memory answers what they know. What is missing is then fetched, and another pass follows.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix::{fut, prelude::*};
use reel_protocol::{Digest, Output};
use tracing::error;

use super::{
    ImageCache,
    check::{CheckFile, Verdict},
};
use crate::{
    cache::{Key, LookUp, Made, index::Known},
    chain::chain,
    store::{self, ArtifactRow, Entry},
};

/// How often, and after which pauses, a file that cannot be read is tried again. The reason may pass, such as too many open files, and a miss may be
/// paid for again.
const UNREADABLE_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_500)];

/// The state of one [`LookUp`].
struct Job {
    requests: Vec<Vec<Key>>,
    is_counted: bool,
    /// The state of each request, in their order.
    states: Vec<LookUpState>,
    /// The entries that were read from the journal; None for a key without an entry.
    read: HashMap<Key, Option<Arc<Made>>>,
    /// Whether each file that was verified is good.
    verdicts: HashMap<Digest, bool>,
}

/// What a pass needs before it can answer: keys to read from the journal, and files to verify.
#[derive(Default)]
struct Needs {
    keys: HashSet<Key>,
    files: HashMap<Digest, ArtifactRow>,
}

/// The results of the reads and verifications.
struct Fetched {
    entries: Vec<(Key, Option<Entry>)>,
    /// Whether the read of the journal succeeded.
    is_read: bool,
    epoch: u64,
    verdicts: Vec<(Digest, bool)>,
}

#[derive(Clone)]
enum LookUpState {
    /// Something must be fetched first.
    Open,
    Miss,
    Hit(Arc<Made>),
}

enum FilesState {
    Good,
    Lost,
    Open,
}

impl ImageCache {
    pub(super) fn look_up(
        &mut self,
        msg: LookUp,
        ctx: &mut Context<Self>,
    ) -> ActorResponse<Self, Vec<Option<Arc<Made>>>> {
        let mut job = Job {
            states: vec![LookUpState::Open; msg.requests.len()],
            requests: msg.requests,
            is_counted: msg.is_counted,
            read: HashMap::new(),
            verdicts: HashMap::new(),
        };
        match self.pass(&mut job) {
            None => ActorResponse::reply(self.answer(job)),
            Some(needs) => ActorResponse::r#async(self.fetch(needs, job, ctx)),
        }
    }

    /// Answers the requests that it can, and returns what the others need; None if all are answered. Each fetch answers a key or a file for good, so
    /// the passes come to an end.
    fn pass(&mut self, job: &mut Job) -> Option<Needs> {
        let mut needs = Needs::default();
        let mut is_open = false;
        let mut states = std::mem::take(&mut job.states);
        for (request, state) in job.requests.iter().zip(&mut states) {
            if matches!(state, LookUpState::Open) {
                *state = self.look_up_one(request, job, &mut needs);
                is_open |= matches!(state, LookUpState::Open);
            }
        }
        job.states = states;
        is_open.then_some(needs)
    }

    fn look_up_one(&mut self, request: &[Key], job: &Job, needs: &mut Needs) -> LookUpState {
        for (position, key) in request.iter().enumerate() {
            let indexed = self.tables.index.get(key);
            let known = match indexed {
                Some(Known::Entry(entry)) => Some(Some(entry)),
                Some(Known::Nothing) => Some(None),
                None => job.read.get(key).cloned(),
            };
            let Some(entry) = known else {
                // All of the request's remaining keys are read at once, so that it needs one read.
                let rest = request.iter().skip(position);
                needs.keys.extend(rest.filter(|key| !job.read.contains_key(*key)));
                return LookUpState::Open;
            };
            let Some(entry) = entry else { continue };
            match self.files_state(&entry, &job.verdicts, needs) {
                FilesState::Good => {
                    entry.outputs.iter().for_each(|output| self.touch(output.digest));
                    return LookUpState::Hit(entry);
                }
                FilesState::Lost => {}
                FilesState::Open => return LookUpState::Open,
            }
        }
        LookUpState::Miss
    }

    fn files_state(
        &mut self,
        entry: &Made,
        verdicts: &HashMap<Digest, bool>,
        needs: &mut Needs,
    ) -> FilesState {
        let tables = &mut self.tables;
        let is_lost = |output: &Output| {
            tables.being_evicted.contains(&output.digest) || verdicts.get(&output.digest) == Some(&false)
        };
        if entry.outputs.iter().any(is_lost) {
            return FilesState::Lost;
        }
        let mut state = FilesState::Good;
        for output in &entry.outputs {
            let is_good = verdicts.contains_key(&output.digest)
                || tables.is_verified(&output.digest, Path::new(&output.path));
            if !is_good {
                needs.files.insert(output.digest, ArtifactRow::of(output));
                state = FilesState::Open;
            }
        }
        state
    }

    fn fetch(
        &mut self,
        needs: Needs,
        mut job: Job,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Vec<Option<Arc<Made>>>> {
        let keys: Vec<Key> = needs.keys.into_iter().collect();
        let missing: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
        let epoch = self.tables.index.epoch();
        let entries = (!keys.is_empty()).then(|| {
            self.store.read(move |connection| {
                keys.into_iter().map(|key| Ok((key, store::entry(connection, &key)?))).collect()
            })
        });
        // It counts as used from here on, so that it is not evicted between its verification and the answer.
        needs.files.keys().for_each(|digest| self.touch(*digest));
        let checks: Vec<_> =
            needs.files.into_values().map(|row| (self.check_file(&row, None, ctx), row)).collect();
        let cache = ctx.address();
        let fetch = async move {
            let read = match entries {
                None => Ok(Vec::new()),
                Some(entries) => entries.await,
            };
            let is_read = read.is_ok();
            let entries = read.unwrap_or_else(|error| {
                error!(error = chain(&error), "cannot look requests up");
                missing
            });
            let mut verdicts = Vec::with_capacity(checks.len());
            for (check, row) in checks {
                let mut verdict = check.await;
                for pause in UNREADABLE_PAUSES {
                    if !matches!(verdict, Verdict::Unreadable(_)) {
                        break;
                    }
                    tokio::time::sleep(pause).await;
                    // This fails only if the cache ends, and then nobody reads the answer.
                    verdict = cache.send(CheckFile(row.clone())).await.unwrap_or(Verdict::Missing);
                }
                verdicts.push((row.digest, matches!(verdict, Verdict::Good)));
            }
            Fetched { entries, is_read, epoch, verdicts }
        };
        Box::pin(fetch.into_actor(self).then(|fetched, actor: &mut Self, ctx| {
            actor.take(fetched, &mut job);
            match actor.pass(&mut job) {
                None => Box::pin(fut::ready(actor.answer(job))),
                Some(needs) => actor.fetch(needs, job, ctx),
            }
        }))
    }

    fn take(&mut self, fetched: Fetched, job: &mut Job) {
        for (key, entry) in fetched.entries {
            let entry = entry.map(|entry| Arc::new(Made::of(&entry, self.disk.artifacts())));
            if fetched.is_read {
                self.tables.index.put_read(key, entry.clone(), fetched.epoch);
            }
            job.read.insert(key, entry);
        }
        job.verdicts.extend(fetched.verdicts);
    }

    fn answer(&mut self, job: Job) -> Vec<Option<Arc<Made>>> {
        let made = |state: LookUpState| if let LookUpState::Hit(entry) = state { Some(entry) } else { None };
        let answers: Vec<_> = job.states.into_iter().map(made).collect();
        if job.is_counted {
            let hits = answers.iter().flatten().count() as u64;
            self.tables.hits += hits;
            self.stats.misses += answers.len() as u64 - hits;
        }
        answers
    }
}
