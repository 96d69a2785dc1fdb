"""The shell around the stages: the command line, a run and its folder, the tasks. Uses ``stages``; nothing uses it."""

__version__ = "0.1.0"

import os

# Before PyTorch loads its threads: on a machine that does other things too, threads that spin while they wait for one another stretched
# a run of 12 seconds to more than 200.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
