"""What the tiles of groups with scales have in common: results as FP32 numbers, some rows of a tile at a time."""

import numpy as np

from ... import reduction_tiles
from .scheme import CoreScheme

__all__ = ["GridScheme"]


class GridScheme(CoreScheme):
    """A scheme on a tile of `golden.reductions`; operands have `codes`, a row a result, and `k`."""

    def shape(self, w):
        return len(w.codes), w.k

    def results(self, fields, m, w, config):
        return reduction_tiles.results(fields["values"].view(np.float32), m, self.shape(w)[0], config)

    def result_count(self, m, w, config):
        tiles = -(-m // config.rows) * -(-self.shape(w)[0] // config.cols)
        return tiles * config.schedule.results
