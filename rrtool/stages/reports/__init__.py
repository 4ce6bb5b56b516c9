"""report: artifacts as HTML pages."""
