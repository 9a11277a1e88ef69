//! Promises of the whole drawing: sizes, determinism, difference, cancelling, hostile prompts.
