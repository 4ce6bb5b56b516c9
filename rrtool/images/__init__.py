"""Images: listing them, decoding them safely, and reading ahead."""
