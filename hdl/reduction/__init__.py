"""Reductions of blocks with scales: integer dot products of blocks, scaled and added in FP32.

What the tiles of several systems are made of. A tile takes a part of a block of each row and column in a transfer. Its
dot products are integers, and so is their sum over a block, a `Lane`. A floating-point half, which lanes share in
turns, scales that integer and adds it to the sum of the reduction. `control` says when, `edges` are what is around
the units, `tile` puts all of it together. The elements, their dot product and the scales are the system's own.

The parts take the configuration of a core, of which they read these attributes:

- `schedule`: a `golden.reductions.Schedule`;
- `dot_shape`, `integer_shape`: of the dot product of a transfer, and of a block;
- `shift_width`: bits of the shift of a part of a block, 0 where there are none;
- `scale_width`: bits of a scale's code;
- and of a tile also `rows`, `cols`, `units` of a column, `dot`, the cycles of a dot product, and the streams'
  `x_layout`, `w_layout` and `o_layout`.
"""
