//! How a connection agrees on its encoding: a client that wants bincode says so first, and the daemon answers whether it speaks the same
//! schema. Bytes in, decisions out; no sockets here.

/// The first bytes of a client that wants bincode.
pub const MAGIC: [u8; 8] = *b"REELBIN1";

/// The number of the types as bincode writes them. It is raised with every change of a byte: `golden/` in this crate holds them.
pub const SCHEMA: u32 = 15;

/// What the client sends: the magic, and its schema.
pub const PREFACE_BYTES: usize = MAGIC.len() + 4;

/// What the daemon answers: its schema, and the verdict.
pub const REPLY_BYTES: usize = 4 + 1;

/// The verdict "go on in frames".
const FRAMES: u8 = 1;
/// The verdict "go on in JSON lines".
const LINES: u8 = 0;

// A daemon that has no place for the connection says so in a line: no schema may begin as one.
const _: () =
    assert!(SCHEMA.to_le_bytes()[0] != b'{', "take the next schema number: this one begins like a line");

/// The preface of a client whose types are those of `schema`.
pub fn preface(schema: u32) -> [u8; PREFACE_BYTES] {
    let mut bytes = [0; PREFACE_BYTES];
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
        [a, b, c, d, ..] => Opening::Preface { schema: u32::from_le_bytes([*a, *b, *c, *d]) },
        _ => Opening::Undecided,
    }
}

/// What the daemon answers to a client of `schema`.
pub fn reply(schema: u32) -> [u8; REPLY_BYTES] {
    let verdict = if schema == SCHEMA { FRAMES } else { LINES };
    let [a, b, c, d] = SCHEMA.to_le_bytes();
    [a, b, c, d, verdict]
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
    /// A JSON line: the daemon has no place for this connection.
    NoReply,
    /// The daemon broke the rules.
    Broken,
}

/// Reads the first bytes of a daemon.
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
