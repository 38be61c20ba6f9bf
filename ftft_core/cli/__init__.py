"""The command line: flags to the core, and the core's answers to text or JSON.

`app` makes the commands and turns errors into exit codes, `output` prints, `watching` shows progress, and every
other module holds the commands of one kind of thing. Nothing here knows more than the core does.
"""

from ftft_core.cli.app import main

__all__ = ["main"]
