"""Search as values: text analysis, queries, postings, facets and columns, one question over tails and runs. No disk."""
