//! Whole rings search, in memory.
