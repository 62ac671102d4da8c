"""A plain index behind the seam, so that the log's tests need no real one: it keeps what it is given, and seals in one go."""

from ctxmem.tables import changes, frames


class PlainIndex:
    """Everything `Log` asks of an index, and nothing else."""

    def __init__(self, store, options, codec):  # noqa: ARG002
        self.store, self.codec = store, codec
        self.read = None
        self.queued = None
        self.is_sealing = False

    def forward(self, segment_id, record):  # noqa: ARG002
        return record.text.encode("utf-8", "surrogatepass")[:20]

    def refresh(self):
        pass

    def steps(self):
        if not self.is_sealing:
            return
        with self.store.snapshot() as snapshot:
            pairs = [(frames.segment_id_of(key), stored) for key, stored in snapshot.scan("log")]
        built = frames.build(pairs, self.codec)
        yield
        with self.store.batch() as batch:
            for key, value in built:
                batch.put("frames", key, value)
            for segment_id, _ in pairs:
                batch.delete("log", frames.key(segment_id))
                batch.delete("forward", frames.key(segment_id))
            if pairs:
                changes.record(batch, "seal", [pairs[0][0], pairs[-1][0] + 1])
        yield

    def purge(self):
        pass

    def check(self):
        return []

    def stats(self):
        return {}

    def close(self):
        pass
