"""A collection that lives: ``index`` keeps its artifacts up to date, ``find`` asks them."""
