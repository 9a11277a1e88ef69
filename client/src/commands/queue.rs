//! `reel pause` and `reel resume`: stops and restarts the start of queued tasks.

use reel_protocol::methods::{Empty, QueuePause, QueueResume};

use crate::{context::Context, exit::Exit, failure::Failure};

/// `reel pause`.
pub async fn pause(context: &Context) -> Result<Exit, Failure> {
    context.output.document(&context.ask::<QueuePause>(&Empty {}).await?)?;
    context.output.note("paused: running tasks go on, no new one starts; reel resume");
    Ok(Exit::Done)
}

/// `reel resume`.
pub async fn resume(context: &Context) -> Result<Exit, Failure> {
    context.output.document(&context.ask::<QueueResume>(&Empty {}).await?)?;
    context.output.note("resumed");
    Ok(Exit::Done)
}
