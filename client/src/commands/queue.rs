//! `reel pause` and `reel resume`: let no queued task start, and let them start again.

use reel_protocol::methods::{Empty, QueuePause, QueueResume};

use crate::{context::Context, exit::Exit, failure::Failure};

/// Pauses the queue, also for later starts of the daemon. Running tasks continue.
pub async fn pause(context: &Context) -> Result<Exit, Failure> {
    context.output.document(&context.ask::<QueuePause>(&Empty {}).await?)?;
    context.output.note("paused: running tasks continue, and no new task starts until reel resume");
    Ok(Exit::Done)
}

/// Ends the pause of the queue.
pub async fn resume(context: &Context) -> Result<Exit, Failure> {
    context.output.document(&context.ask::<QueueResume>(&Empty {}).await?)?;
    context.output.note("resumed: queued tasks start again");
    Ok(Exit::Done)
}
