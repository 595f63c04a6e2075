"""Data sheets: what catalogue, manifest, simulation and kept measurements tell of a core, around written prose."""
