//! An answer that a handler gives later, from wherever its actor is by then.
//!
//! actix takes a future for that, which becomes a task of its own; of an answer that takes microseconds that is a good part.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

/// What a handler returns.
pub struct Promise<T>(Shared<T>);

/// Keeps the promise, from any thread. Dropped without that, whoever waits is told that nobody answers any more.
pub(super) struct Keeper<T>(Shared<T>);

struct Shared<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    /// Neither is there.
    Open,
    /// The answer came before its handler returned.
    Kept(T),
    /// Somebody waits.
    Awaited(OneshotSender<T>),
    /// Answered, or nobody waits.
    Over,
}

/// A promise, and how it is kept.
pub(super) fn promise<T>() -> (Keeper<T>, Promise<T>) {
    let state = Arc::new(Mutex::new(State::Open));
    (Keeper(Shared(Arc::clone(&state))), Promise(Shared(state)))
}

impl<T> Shared<T> {
    /// Held until the next state is there: the other side may be on another thread.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Keeper<T> {
    /// Answers. Whoever went away wants no answer.
    pub(super) fn keep(self, answer: T) {
        let mut state = self.0.lock();
        match mem::replace(&mut *state, State::Over) {
            State::Open => *state = State::Kept(answer),
            State::Awaited(sender) => drop(sender.send(answer)),
            State::Kept(_) | State::Over => {}
        }
    }
}

impl<A: Actor, M: Message> MessageResponse<A, M> for Promise<M::Result> {
    fn handle(self, _: &mut A::Context, sender: Option<OneshotSender<M::Result>>) {
        let mut state = self.0.lock();
        match (mem::replace(&mut *state, State::Over), sender) {
            (State::Open, Some(sender)) => *state = State::Awaited(sender),
            (State::Kept(answer), Some(sender)) => drop(sender.send(answer)),
            (_, None) | (State::Awaited(_) | State::Over, Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Context;
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Message)]
    #[rtype(result = "u8")]
    struct Ask;

    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    fn await_it(promise: Promise<u8>) -> oneshot::Receiver<u8> {
        let (sender, answer) = oneshot::channel();
        MessageResponse::<Nobody, Ask>::handle(promise, &mut Context::new(), Some(sender));
        answer
    }

    #[test]
    fn an_answer_arrives_before_and_after_its_handler_returned_and_a_lost_one_is_noticed() {
        let (keeper, promise) = promise();
        keeper.keep(1);
        assert_eq!(await_it(promise).try_recv(), Ok(1));

        let (keeper, promise) = super::promise();
        let mut answer = await_it(promise);
        assert!(answer.try_recv().is_err());
        keeper.keep(2);
        assert_eq!(answer.try_recv(), Ok(2));

        let (keeper, promise) = super::promise();
        let mut answer = await_it(promise);
        drop(keeper);
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn an_answer_of_another_thread_arrives_though_its_handler_returns_just_then() {
        let place = Arc::new(Mutex::new(None::<Keeper<u8>>));
        let taking = Arc::clone(&place);
        let keeping = std::thread::spawn(move || {
            let mut kept = 0;
            while kept < 5_000 {
                let keeper = taking.lock().unwrap().take();
                if let Some(keeper) = keeper {
                    keeper.keep(3);
                    kept += 1;
                }
            }
        });
        for _ in 0..5_000 {
            let (keeper, promise) = promise();
            *place.lock().unwrap() = Some(keeper);
            while place.lock().unwrap().is_some() {
                std::thread::yield_now();
            }
            assert_eq!(await_it(promise).blocking_recv(), Ok(3));
        }
        keeping.join().unwrap();
    }
}
