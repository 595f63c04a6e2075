"""SAT/BDWP (TCAD 2023): N:M sparse weights, products and cycles."""
