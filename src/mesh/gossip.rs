//! Gossip: what was seen, what is passed on, who says too much.
