//! The binary `lockheed` and the library, with real processes.
