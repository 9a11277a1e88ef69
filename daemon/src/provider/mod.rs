//! Where generated things come from; so far only the embedded, offline provider `draft`.

pub mod draft;
