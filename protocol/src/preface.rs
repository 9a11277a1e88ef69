//! Agrees on the encoding of a connection: a client that wants bincode begins with a preface, and the daemon replies whether it has the same schema.
//! There are no sockets here.

/// The first bytes of a client that wants bincode.
pub const MAGIC: [u8; 8] = *b"REELBIN1";

/// The number of the types' encoding in bincode. It is raised with every change of a byte; `golden/` in this crate has the bytes of this schema.
pub const SCHEMA: u32 = 20;

/// Size of the preface that the client sends, in bytes: the magic and its schema.
pub const PREFACE_BYTES: usize = MAGIC.len() + 4;

/// Size of the daemon's reply, in bytes: its schema and the verdict.
pub const REPLY_BYTES: usize = 4 + 1;

/// The verdict that frames follow.
const FRAMES: u8 = 1;
/// The verdict that JSON lines follow.
const LINES: u8 = 0;

// A daemon that refuses a connection sends a JSON line instead of the reply, so no schema may begin like one.
const _: () =
    assert!(SCHEMA.to_le_bytes()[0] != b'{', "take the next schema number: this one begins like a line");

/// Returns the preface of a client with this schema.
pub fn preface(schema: u32) -> [u8; PREFACE_BYTES] {
    let mut bytes = [0; PREFACE_BYTES];
    for (to, from) in bytes.iter_mut().zip(MAGIC.into_iter().chain(schema.to_le_bytes())) {
        *to = from;
    }
    bytes
}

/// What the first bytes of a client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// There are too few bytes to decide.
    Undecided,
    /// They are no preface, so all of them belong to JSON lines.
    Lines,
    /// They begin with a whole preface, which has [`PREFACE_BYTES`].
    Preface {
        /// The client's schema.
        schema: u32,
    },
}

/// Parses the first bytes of a client.
pub fn opening(bytes: &[u8]) -> Opening {
    if bytes.iter().zip(&MAGIC).any(|(found, expected)| found != expected) {
        return Opening::Lines;
    }
    let rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    match rest {
        [a, b, c, d, ..] => Opening::Preface { schema: u32::from_le_bytes([*a, *b, *c, *d]) },
        _ => Opening::Undecided,
    }
}

/// Returns the daemon's reply to a client with this schema.
pub fn reply(schema: u32) -> [u8; REPLY_BYTES] {
    let verdict = if schema == SCHEMA { FRAMES } else { LINES };
    let [a, b, c, d] = SCHEMA.to_le_bytes();
    [a, b, c, d, verdict]
}

/// What the first bytes of a daemon are that answers a preface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There are too few bytes to decide.
    Undecided,
    /// They are a reply of [`REPLY_BYTES`], and frames follow.
    Frames,
    /// They are a reply of [`REPLY_BYTES`], and JSON lines follow: the daemon has another schema.
    Lines,
    /// They begin a JSON line: the daemon refuses the connection.
    NoReply,
    /// They are nothing that a daemon sends.
    Broken,
}

/// Parses the first bytes of a daemon.
pub fn verdict(bytes: &[u8]) -> Verdict {
    match bytes {
        [b'{', ..] => Verdict::NoReply,
        [] | [_] | [_, _] | [_, _, _] | [_, _, _, _] => Verdict::Undecided,
        [a, b, c, d, FRAMES, ..] if [*a, *b, *c, *d] == SCHEMA.to_le_bytes() => Verdict::Frames,
        [_, _, _, _, LINES, ..] => Verdict::Lines,
        _ => Verdict::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(preface(0x0403_0201), *b"REELBIN1\x01\x02\x03\x04");
        assert_eq!(reply(SCHEMA), [SCHEMA as u8, 0, 0, 0, 1]);
        assert_eq!(reply(SCHEMA + 1), [SCHEMA as u8, 0, 0, 0, 0]);
    }

    #[test]
    fn only_a_whole_preface_opens_frames_and_the_first_wrong_byte_tells() {
        let preface = preface(0x0a0b_0c0d);
        for length in 0..PREFACE_BYTES {
            assert_eq!(opening(&preface[..length]), Opening::Undecided, "{length}");
        }
        assert_eq!(opening(&preface), Opening::Preface { schema: 0x0a0b_0c0d });
        assert_eq!(opening(&[&preface[..], b"more"].concat()), Opening::Preface { schema: 0x0a0b_0c0d });
        let wrong: [&[u8]; 5] = [b"{", b"RUBBISH", b"REELBIN2", b"r", b"\xef\xbb\xbf{}"];
        for bytes in wrong {
            assert_eq!(opening(bytes), Opening::Lines, "{bytes:?}");
        }
    }

    #[test]
    fn a_client_tells_the_answers_apart() {
        for (bytes, expected) in [
            (&b""[..], Verdict::Undecided),
            (&reply(SCHEMA)[..4], Verdict::Undecided),
            (&reply(SCHEMA), Verdict::Frames),
            (&reply(SCHEMA + 1), Verdict::Lines),
            (b"{", Verdict::NoReply),
            (b"\xff\xff\xff\xff\x01", Verdict::Broken),
            (b"HTTP/1.1", Verdict::Broken),
        ] {
            assert_eq!(verdict(bytes), expected, "{bytes:?}");
        }
    }
}
