"""A bench in Verilog of a whole tile with the vendors' primitives, for simulators that take their models."""

__all__ = ["BENCH"]

# Operands go in whenever they are taken, with pauses; results are taken with pauses and printed.
BENCH = """
module bench;
  localparam A = {a_transfers}, W = {w_transfers}, ROWS = {rows};
  reg clk = 0, rst = 1;
  reg [{a_bits}-1:0] a [0:A-1]; reg [{w_bits}-1:0] w [0:W-1];
  integer a_at = 0, w_at = 0, o_at = 0, cycle = 0;
  reg a_valid = 0, w_valid = 0, o_ready = 0;
  wire a_ready, w_ready, o_valid;
  wire [{o_bits}-1:0] o;
  tile tile_i(.clk(clk), .rst(rst),
    .a__payload(a[a_at % A]), .a__valid(a_valid), .a__ready(a_ready),
    .w__payload(w[w_at % W]), .w__valid(w_valid), .w__ready(w_ready),
    .o__payload(o), .o__valid(o_valid), .o__ready(o_ready));
  initial begin
    $readmemh("a.hex", a); $readmemh("w.hex", w);
    #5 clk = 1; #5 clk = 0; rst = 0;
    while (o_at < ROWS && cycle < 20000) begin
      if (!a_valid) a_valid = a_at < A && $random % 4 != 0;
      if (!w_valid) w_valid = w_at < W && $random % 4 != 0;
      o_ready = $random % 4 != 0;
      #5;
      if (o_valid && o_ready) begin $display("%h", o); o_at = o_at + 1; end
      begin : step
        reg a_taken, w_taken;
        a_taken = a_valid && a_ready; w_taken = w_valid && w_ready;
        clk = 1; #5 clk = 0;
        if (a_taken) begin a_at = a_at + 1; a_valid = 0; end
        if (w_taken) begin w_at = w_at + 1; w_valid = 0; end
      end
      cycle = cycle + 1;
    end
    $finish;
  end
endmodule
"""
