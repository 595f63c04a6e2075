"""The machine: what stands between the cores when a whole encoder runs in integers."""
