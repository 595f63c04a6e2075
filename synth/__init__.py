"""Yosys, nextpnr and ASIC flows."""
