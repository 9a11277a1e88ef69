//! The log as entries of systemd's journal, in its own protocol: a priority, and each value as a field that `journalctl` can select by.
//!
//! The message repeats the values, as `journalctl` shows nothing else unless asked. An entry that the journal does not take at once is
//! lost to it, never waited for: it stands in the log file, and the next entry says how many were lost.
#![cfg(unix)]

use std::{
    fmt::{self, Write as _},
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope, SpanRef},
};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The program's name in each entry.
const IDENTIFIER: &str = "reeld";

/// Before the name of each value, so that none is taken for one of the journal's own fields.
const PREFIX: &str = "REEL_";

/// The journal's own limit for a field's name.
const MAX_NAME_BYTES: usize = 64;

/// Longer values are cut: an entry has to fit into a datagram, which holds 208 KiB where nobody has changed that.
const MAX_VALUE_BYTES: usize = 24 * 1024;

/// A journal that takes entries.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    lost: AtomicU64,
}

impl Journal {
    /// An error where nobody listens at `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // The journal passes over an empty entry.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned(), lost: AtomicU64::new(0) })
    }

    fn send(&self, entry: &Entry) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let mut note = Entry::new(Level::WARN);
            note.field("MESSAGE", &format!("{lost} entries are missing here; the log file has them"));
            if self.socket.send_to(&note.0, &self.path).is_ok() {
                self.lost.fetch_sub(lost, Ordering::Relaxed);
            }
        }
        // By its path each time: a journal that was restarted may listen anew.
        if self.socket.send_to(&entry.0, &self.path).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S> Layer<S> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            let mut values = Values::default();
            attributes.record(&mut values);
            span.extensions_mut().insert(values);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(values) = span.extensions_mut().get_mut::<Values>()
        {
            record.record(values);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let spans = ctx.event_scope(event).into_iter().flat_map(Scope::from_root);
        let spans: Vec<(&str, Values)> = spans.map(|span| (span.name(), values_of(&span))).collect();
        self.send(&Entry::of(event.metadata(), &spans, &values));
    }
}

fn values_of<S: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, S>) -> Values {
    span.extensions().get::<Values>().cloned().unwrap_or_default()
}

/// The values of an event or a span, as texts.
#[derive(Debug, Clone, Default, PartialEq)]
struct Values {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (index, (name, value)) in self.others.iter().enumerate() {
            let gap = if index == 0 && self.message.is_empty() { "" } else { " " };
            write!(f, "{gap}{name}={value}")?;
        }
        Ok(())
    }
}

/// One entry as it is sent.
struct Entry(Vec<u8>);

impl Entry {
    fn new(level: Level) -> Self {
        let mut entry = Self(Vec::with_capacity(512));
        entry.field("PRIORITY", priority(level));
        entry.field("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry
    }

    fn of(metadata: &Metadata<'_>, spans: &[(&str, Values)], values: &Values) -> Self {
        let mut entry = Self::new(*metadata.level());
        entry.field("TARGET", metadata.target());
        if let Some(file) = metadata.file() {
            entry.field("CODE_FILE", file);
        }
        if let Some(line) = metadata.line() {
            entry.field("CODE_LINE", &line.to_string());
        }
        let mut message = String::new();
        for (name, values) in spans {
            // Writing to a text cannot fail.
            let _ = write!(message, "{name}{{{values}}}: ");
            entry.field("SPAN_NAME", name);
            entry.values(values);
        }
        let _ = write!(message, "{values}");
        entry.field("MESSAGE", &message);
        entry.values(values);
        entry
    }

    fn values(&mut self, values: &Values) {
        for (name, value) in &values.others {
            self.field(&name_of(name), value);
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        let value = value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(value);
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // The form for what has several lines.
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

/// The levels of syslog(3). What people want to see as a rule is `info` there, too.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// The field of a value: capitals, digits and underlines are all that the journal takes.
fn name_of(value: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    PREFIX.chars().chain(value.chars().map(letter)).take(MAX_NAME_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    struct Reader {
        _root: tempfile::TempDir,
        path: PathBuf,
        socket: UnixDatagram,
    }

    impl Reader {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            Self { _root: root, path, socket }
        }

        fn connect(&self) -> Journal {
            let journal = Journal::connect(&self.path).unwrap();
            assert!(self.next().is_empty(), "the trial is empty");
            journal
        }

        /// The next entry, read as the journal does it.
        fn next(&self) -> HashMap<String, String> {
            let mut bytes = vec![0; 256 * 1024];
            let length = self.socket.recv(&mut bytes).unwrap();
            let mut rest = &bytes[..length];
            let mut fields = HashMap::new();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8(rest[..end].to_vec()).unwrap();
                rest = &rest[end + 1..];
                if let Some((name, value)) = line.split_once('=') {
                    fields.insert(name.to_owned(), value.to_owned());
                    continue;
                }
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                fields.insert(line, String::from_utf8(rest[8..8 + length].to_vec()).unwrap());
                assert_eq!(rest[8 + length], b'\n');
                rest = &rest[8 + length + 1..];
            }
            assert!(rest.is_empty());
            fields
        }
    }

    #[test]
    fn values_are_fields_and_the_message_has_them_too() {
        let reader = Reader::new();
        let subscriber = tracing_subscriber::registry().with(reader.connect());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(freed_bytes = 7, reason = "a\nb", path = %"/x", "cache evicted");
        });
        let entry = reader.next();
        for (name, value) in [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "reeld"),
            ("TARGET", "reeld::logging::journal::tests"),
            ("MESSAGE", "cache evicted freed_bytes=7 reason=a\nb path=/x"),
            ("REEL_FREED_BYTES", "7"),
            ("REEL_REASON", "a\nb"),
            ("REEL_PATH", "/x"),
        ] {
            assert_eq!(entry.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(entry["CODE_FILE"].ends_with("journal.rs") && entry["CODE_LINE"].parse::<u32>().is_ok());
    }

    #[test]
    fn an_event_in_a_span_has_the_span_s_values() {
        let reader = Reader::new();
        let subscriber = tracing_subscriber::registry().with(reader.connect());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("session", connection = 3, peer = tracing::field::Empty);
            span.record("peer", "python");
            span.in_scope(|| tracing::info!("asked"));
        });
        let entry = reader.next();
        assert_eq!(entry["MESSAGE"], "session{connection=3 peer=python}: asked");
        assert_eq!((&*entry["REEL_CONNECTION"], &*entry["REEL_PEER"]), ("3", "python"));
        assert_eq!(entry["SPAN_NAME"], "session");
    }

    #[test]
    fn every_level_has_its_priority_and_every_name_is_one_that_the_journal_takes() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        assert_eq!(levels.map(priority), ["3", "4", "6", "7", "7"]);
        for (value, name) in [("freed_bytes", "REEL_FREED_BYTES"), ("a.b-ü", "REEL_A_B__"), ("_x", "REEL__X")]
        {
            assert_eq!(name_of(value), name);
        }
        assert_eq!(name_of(&"x".repeat(100)).len(), MAX_NAME_BYTES);
    }

    #[test]
    fn a_huge_value_is_cut_and_still_arrives() {
        let reader = Reader::new();
        let subscriber = tracing_subscriber::registry().with(reader.connect());
        let huge = "ü".repeat(1 << 20);
        tracing::subscriber::with_default(subscriber, || tracing::info!(huge, "x"));
        let entry = reader.next();
        assert!(
            entry["REEL_HUGE"].len() <= MAX_VALUE_BYTES && entry["REEL_HUGE"].len() > MAX_VALUE_BYTES / 2
        );
    }

    #[test]
    fn a_journal_that_does_not_read_holds_nobody_up_and_hears_of_it_later() {
        let reader = Reader::new();
        let journal = reader.connect();
        let entry = || {
            let mut entry = Entry::new(Level::INFO);
            entry.field("MESSAGE", "x");
            entry
        };
        // As many as the system keeps for a reader, and more.
        while journal.lost.load(Ordering::Relaxed) < 3 {
            journal.send(&entry());
        }
        reader.socket.set_nonblocking(true).unwrap();
        while reader.socket.recv(&mut [0; 1024]).is_ok() {}
        reader.socket.set_nonblocking(false).unwrap();
        journal.send(&entry());
        assert!(reader.next()["MESSAGE"].starts_with("3 entries are missing here"));
        assert_eq!(reader.next()["MESSAGE"], "x");
        assert_eq!(journal.lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn where_nobody_listens_there_is_no_journal() {
        let root = tempfile::tempdir().unwrap();
        assert!(Journal::connect(&root.path().join("socket")).is_err());
    }
}
