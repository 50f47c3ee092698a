"""Music concepts from tag to caption to audio to probe, every step verifiable."""
