"""What a prompt is made of, as values: records from messages, the state, its layout, recall. No disk."""
