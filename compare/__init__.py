"""The comparison: whole models through every system, measured with the same tools on the same work."""
