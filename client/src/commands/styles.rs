//! `reel styles`: lists the styles that pictures can have.

use reel_protocol::methods::{Empty, ServiceStatus, StyleInfo};
use serde::Serialize;

use crate::{context::Context, exit::Exit, failure::Failure, table};

#[derive(Serialize)]
struct Document<'a> {
    styles: &'a [StyleInfo],
}

/// Prints the styles.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let status = context.ask::<ServiceStatus>(&Empty {}).await?;
    let styles = status.services.get("image").map_or(&[][..], |image| &image.styles);
    context.output.document(&Document { styles })?;
    let rows: Vec<_> = styles.iter().map(|style| [style.name.clone(), style.summary.clone()]).collect();
    context.output.data(&table::columns(["NAME", "LOOKS LIKE"], &rows, context.output.width()))?;
    Ok(Exit::Done)
}
