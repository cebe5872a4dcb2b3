//! Real peers, free ports, seeds and oracles for tests. A dev-dependency only.
