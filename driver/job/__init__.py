"""MPI jobs: launching, signals, the watchdog and how a job ends."""
