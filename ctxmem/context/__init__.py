"""One session at work: appending, turns, surgery and the way back, over the log."""
