"""Taking in and giving out files of other programs."""
