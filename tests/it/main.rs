//! The integration tests, in one binary: they drive the real program against real servers.
