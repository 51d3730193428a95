//! Who served badly, and until when that counts.
