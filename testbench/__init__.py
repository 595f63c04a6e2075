"""cocotb benches that drive the generated Verilog and compare it with the golden models."""
