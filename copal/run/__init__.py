"""Computing: does the cells of one feature one by one; decides nothing."""

from copal.run.chunk import compute_cells
from copal.run.inputs import Worker
from copal.run.rows import check_rows
from copal.run.tally import Tally

__all__ = ["Tally", "Worker", "check_rows", "compute_cells"]
