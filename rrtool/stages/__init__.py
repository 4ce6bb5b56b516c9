"""The subcommands as functions: validate, load, call core, write. No algorithm lives here."""
