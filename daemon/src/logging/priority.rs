//! Formats log lines with the priority that systemd's journal reads from a service's standard error (sd-daemon(3)): from `<3>` for errors to `<7>`
//! for details.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
    },
    registry::LookupSpan,
};

/// Formats an event as usual, but with its priority in front and without its time.
#[derive(Debug)]
pub(super) struct Prioritised(Format<Full, ()>);

impl Default for Prioritised {
    fn default() -> Self {
        Self(Format::default().without_time().with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(ctx, writer, event)
    }
}

/// Returns the priority of syslog(3) for a level.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_begins_with_its_priority_and_has_no_time() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).event_format(Prioritised::default());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!(task = 7, "a task failed");
            tracing::warn!("tight");
            tracing::info!("ready");
            tracing::debug!("detail");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let starts: Vec<_> = text.lines().map(|line| line.get(..3).unwrap()).collect();
        assert_eq!(starts, ["<3>", "<4>", "<6>", "<7>"], "{text}");
        assert!(text.starts_with("<3>ERROR ") && text.contains("a task failed task=7"), "{text}");
    }
}
