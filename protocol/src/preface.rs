//! How a connection agrees on its encoding: a client that wants bincode says so first, and the daemon answers whether it speaks the same
//! schema. Bytes in, decisions out; no sockets here.

/// The first bytes of a client that wants bincode.
pub const MAGIC: [u8; 8] = *b"REELBIN1";

/// The number of the types as bincode writes them. It is raised with every change of a byte: `golden/` in this crate holds them.
pub const SCHEMA: u32 = 1;

/// What the client sends: the magic, its schema, and a newline.
pub const PREFACE_BYTES: usize = MAGIC.len() + 4 + 1;

/// What the daemon answers: the verdict, and its schema.
pub const REPLY_BYTES: usize = 1 + 4;

/// The verdict "go on in frames".
const FRAMES: u8 = 1;
/// The verdict "go on in JSON lines".
const LINES: u8 = 0;

// A daemon that knows no preface takes it for one bad line and answers that: the schema may not end the line before its time.
const _: () = {
    let [a, b, c, d] = SCHEMA.to_le_bytes();
    let has_newline = a == b'\n' || b == b'\n' || c == b'\n' || d == b'\n';
    assert!(!has_newline, "take the next schema number: this one holds a newline");
};

/// The preface of a client whose types are those of `schema`.
pub fn preface(schema: u32) -> [u8; PREFACE_BYTES] {
    let mut bytes = [b'\n'; PREFACE_BYTES];
    for (to, from) in bytes.iter_mut().zip(MAGIC.into_iter().chain(schema.to_le_bytes())) {
        *to = from;
    }
    bytes
}

/// What the first bytes of a client say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Too few to tell.
    Undecided,
    /// No preface: all of them belong to JSON lines.
    Lines,
    /// A preface of [`PREFACE_BYTES`].
    Preface {
        /// The client's schema.
        schema: u32,
    },
}

/// Reads the first bytes of a client.
pub fn opening(bytes: &[u8]) -> Opening {
    if bytes.iter().zip(&MAGIC).any(|(found, expected)| found != expected) {
        return Opening::Lines;
    }
    let rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    match rest {
        [a, b, c, d, b'\n', ..] => Opening::Preface { schema: u32::from_le_bytes([*a, *b, *c, *d]) },
        [_, _, _, _, _, ..] => Opening::Lines,
        _ => Opening::Undecided,
    }
}

/// What the daemon answers to a client of `schema`.
pub fn reply(schema: u32) -> [u8; REPLY_BYTES] {
    let verdict = if schema == SCHEMA { FRAMES } else { LINES };
    let [a, b, c, d] = SCHEMA.to_le_bytes();
    [verdict, a, b, c, d]
}

/// What the first bytes of a daemon say to a client that sent a preface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Too few to tell.
    Undecided,
    /// [`REPLY_BYTES`], and frames from there on.
    Frames,
    /// [`REPLY_BYTES`], and JSON lines from there on: the daemon's types are those of another schema.
    Lines,
    /// A JSON line: the daemon knows no preface, or has no place for this connection.
    NoReply,
    /// The daemon broke the rules.
    Broken,
}

/// Reads the first bytes of a daemon.
pub fn verdict(bytes: &[u8]) -> Verdict {
    match bytes {
        [] | [FRAMES | LINES] | [FRAMES | LINES, _] | [FRAMES | LINES, _, _] | [FRAMES | LINES, _, _, _] => {
            Verdict::Undecided
        }
        [FRAMES, a, b, c, d, ..] if [*a, *b, *c, *d] == SCHEMA.to_le_bytes() => Verdict::Frames,
        [LINES, ..] => Verdict::Lines,
        [b'{', ..] => Verdict::NoReply,
        _ => Verdict::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(preface(0x0403_0201), *b"REELBIN1\x01\x02\x03\x04\n");
        assert_eq!(reply(SCHEMA), [1, SCHEMA as u8, 0, 0, 0]);
        assert_eq!(reply(SCHEMA + 1), [0, SCHEMA as u8, 0, 0, 0]);
    }

    #[test]
    fn only_a_whole_preface_opens_frames_and_the_first_wrong_byte_tells() {
        let preface = preface(0x0a0b_0c0d);
        for length in 0..PREFACE_BYTES {
            assert_eq!(opening(&preface[..length]), Opening::Undecided, "{length}");
        }
        assert_eq!(opening(&preface), Opening::Preface { schema: 0x0a0b_0c0d });
        assert_eq!(opening(&[&preface[..], b"more"].concat()), Opening::Preface { schema: 0x0a0b_0c0d });
        let wrong: [&[u8]; 6] =
            [b"{", b"RUBBISH", b"REELBIN2", b"r", b"\xef\xbb\xbf{}", b"REELBIN1\x01\0\0\0{"];
        for bytes in wrong {
            assert_eq!(opening(bytes), Opening::Lines, "{bytes:?}");
        }
    }

    #[test]
    fn a_daemon_that_knows_no_preface_sees_one_line_and_is_understood() {
        let mut decoder = crate::line::LineDecoder::default();
        decoder.buffer_mut().extend_from_slice(&preface(SCHEMA));
        let Some(crate::line::Line::Text(line)) = decoder.next_line() else { panic!("one line") };
        let bad = crate::rpc::Request::parse(line).unwrap_err();
        assert_eq!((bad.id.is_none(), bad.error.data.code.as_str()), (true, "parse_error"));
        assert_eq!(decoder.next_line(), None);
        for (bytes, expected) in [
            (&b""[..], Verdict::Undecided),
            (&reply(SCHEMA)[..4], Verdict::Undecided),
            (&reply(SCHEMA), Verdict::Frames),
            (&reply(SCHEMA + 1), Verdict::Lines),
            (b"{", Verdict::NoReply),
            (b"\x01\xff\xff\xff\xff", Verdict::Broken),
            (b"HTTP", Verdict::Broken),
        ] {
            assert_eq!(verdict(bytes), expected, "{bytes:?}");
        }
    }
}
