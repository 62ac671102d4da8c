"""What is left of what is no longer shown: stubs in place, and a ledger of lines. Extractive, no LLM."""
