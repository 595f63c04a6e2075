"""SAT/BDWP (TCAD 2023): N:M selector and sparse tile."""
