"""Parts of a run on other processes: of this machine, or of a cluster."""
