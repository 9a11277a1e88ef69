//! A decoder of the binary encoding asks for no more memory than its limit, whatever the lengths in the bytes say. Alone in its process, as it
//! looks at the most address space that the process ever had.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use reel_protocol::{
    JsonText, TaskSpec,
    binary::{Incoming, Request, decode, encode},
    limits::LARGE_LINE_BYTES,
    methods::{ArtifactReadResult, Event, SubmitBatchParams, SubscribeParams, TaskWaitResult},
};

/// The most address space so far, in bytes; touched or not.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

fn decode_as_everything(bytes: &[u8]) {
    let _ = Request::parse(bytes);
    let _ = Incoming::parse(&bytes::Bytes::copy_from_slice(bytes));
    let _ = decode::<TaskWaitResult>(bytes);
    let _ = decode::<SubmitBatchParams>(bytes);
    let _ = decode::<SubscribeParams>(bytes);
    let _ = decode::<ArtifactReadResult>(bytes);
    let _ = decode::<Event>(bytes);
}

#[test]
fn no_length_in_the_bytes_asks_for_more_than_the_limit() {
    let spec = TaskSpec {
        kind: "debug.noop".to_owned(),
        name: Some("n".to_owned()),
        metadata: Some(JsonText::empty_object()),
        ..TaskSpec::default()
    };
    let params = SubmitBatchParams { tasks: vec![spec; 3], ..SubmitBatchParams::default() };
    let valid = encode(&params).unwrap();
    assert_eq!(decode::<SubmitBatchParams>(&valid).unwrap(), params);
    decode_as_everything(&valid);
    let before = peak_bytes();
    for length in [u64::MAX, 1 << 40, 1 << 32, LARGE_LINE_BYTES as u64 + 1, LARGE_LINE_BYTES as u64] {
        for at in 0..valid.len() - 8 {
            let mut bytes = valid.clone();
            bytes.splice(at..at + 8, length.to_le_bytes());
            decode_as_everything(&bytes);
        }
    }
    // Two allocations of the largest kind may meet where the first one is just being given back.
    let grown = peak_bytes() - before;
    assert!(grown <= 2 * LARGE_LINE_BYTES + 4 * 1024 * 1024, "{grown} bytes");
}
