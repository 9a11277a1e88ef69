//! An answer that a handler gives later, from wherever its actor is by then.
//!
//! actix takes a future for that, which becomes a task of its own; of an answer that takes microseconds that is a good part.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
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
    fn replace(&self, state: State<T>) -> State<T> {
        mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

impl<T> Keeper<T> {
    /// Answers. Whoever went away wants no answer.
    pub(super) fn keep(self, answer: T) {
        match self.0.replace(State::Over) {
            State::Open => drop(self.0.replace(State::Kept(answer))),
            State::Awaited(sender) => drop(sender.send(answer)),
            State::Kept(_) | State::Over => {}
        }
    }
}

impl<A: Actor, M: Message> MessageResponse<A, M> for Promise<M::Result> {
    fn handle(self, _: &mut A::Context, sender: Option<OneshotSender<M::Result>>) {
        let Some(sender) = sender else { return drop(self.0.replace(State::Over)) };
        match self.0.replace(State::Over) {
            State::Open => drop(self.0.replace(State::Awaited(sender))),
            State::Kept(answer) => drop(sender.send(answer)),
            State::Awaited(_) | State::Over => {}
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
}
