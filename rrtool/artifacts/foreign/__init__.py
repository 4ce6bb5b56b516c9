"""HDF5 files of other programs."""
