"""FinalSpark's Neuroplatform, by both versions of its package, and a twin on which scripts for it run unchanged."""
