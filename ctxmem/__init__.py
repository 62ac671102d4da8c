"""An embedded context-memory engine for LLM agents: keeps everything, sends what fits."""

__version__ = "0.1.0"
