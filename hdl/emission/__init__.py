"""From components to Verilog: replication, structure, names, text."""
