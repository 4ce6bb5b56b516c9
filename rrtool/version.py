"""The version of rrtool."""

VERSION = "0.1.0"
