"""What stands in the store's tables beside the index: ids and slots, names, flags, changes, frames, turns."""
