// Sums of packed outlier-victim pairs: an instance of ovp-decoder in a module written by hand.
// Each packet of pairs gives one sum of all its values, when its last pair has passed.

module top (
  input             clk,
  input             rst,
  input      [7:0]  pair,
  input             pair_last,
  input             pair_valid,
  output            pair_ready,
  output reg [31:0] sum,
  output reg        sum_valid
);
  wire [16:0] decoded;
  wire        decoded_valid;
  wire        illegal;

  // The instance is the one in the comment at the top of ovp_decoder.v.
  ovp_decoder decoder (
    .clk(clk),
    .rst(rst),
    .i__payload({pair_last, pair}),
    .i__valid(pair_valid),
    .i__ready(pair_ready),
    .o__payload(decoded),
    .o__valid(decoded_valid),
    .o__ready(1'b1),
    .illegal(illegal)
  );

  // Value n of a pair: the exponent in bits 8 n to 8 n + 3, the signed integer in the four bits above.
  wire signed [31:0] even = {{28{decoded[7]}}, decoded[7:4]};
  wire signed [31:0] odd = {{28{decoded[15]}}, decoded[15:12]};
  wire signed [31:0] both = (even <<< decoded[3:0]) + (odd <<< decoded[11:8]);
  wire last = decoded[16];

  reg signed [31:0] running;
  always @(posedge clk) begin
    sum_valid <= 1'b0;
    if (rst)
      running <= 0;
    else if (decoded_valid) begin
      running <= last ? 0 : running + both;
      sum <= running + both;
      sum_valid <= last;
    end
  end
endmodule
