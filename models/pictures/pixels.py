"""Pictures as arrays of intensities 0 to 255; pixel (i, j) covers [j, j+1) x [i, i+1), x right, y down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
"""`[height, width]`."""
Pixels = npt.NDArray[np.uint8]
"""`[height, width]`, or in colours `[height, width, 3]`, red, green, blue."""
