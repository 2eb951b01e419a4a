//! Logs: structured, to standard error.

