"""The simulator's settings."""

from __future__ import annotations

import sys

# The simulator waits for its threads in a loop that never sleeps, and lets go of the
# interpreter only after the switch interval. At a tenth of a millisecond in place of
# five, a barrier of 32 threads takes a third of the time.
sys.setswitchinterval(1e-4)
