"""Pure algorithms: arrays in, arrays out. Nothing here reads files, prints or parses options."""
