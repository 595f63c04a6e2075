// Sends the pairs of pairs.hex through `top`, one packet of eight after the other, and prints the sums.

module top_tb;
  parameter PAIRS = 64;
  reg clk = 0, rst = 1;
  reg [7:0] pairs [0:PAIRS-1];
  integer at = 0;
  wire ready, sum_valid;
  wire signed [31:0] sum;

  top dut (
    .clk(clk),
    .rst(rst),
    .pair(pairs[at % PAIRS]),
    .pair_last(at % 8 == 7),
    .pair_valid(!rst && at < PAIRS),
    .pair_ready(ready),
    .sum(sum),
    .sum_valid(sum_valid)
  );

  always #5 clk = !clk;

  initial begin
    $readmemh("pairs.hex", pairs);
    repeat (3) @(posedge clk);
    #1 rst = 0;
    repeat (PAIRS + 10) begin
      @(posedge clk);
      if (sum_valid) $display("%0d", sum);
      if (ready && at < PAIRS) #1 at = at + 1;
    end
    $finish;
  end
endmodule
