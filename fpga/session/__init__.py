"""What a host talks to: a board, its twin or a Verilated core."""
