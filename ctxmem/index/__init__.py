"""The index on disk: runs written, merged and purged a little at a time, and searched with the tails."""
