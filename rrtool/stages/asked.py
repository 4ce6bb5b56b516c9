"""What a command is asked for, in whose words, of which inputs."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from rrtool.artifacts import Graph, digest_of_source, open_artifact
from rrtool.errors import RrtoolError, UsageError
from rrtool.options import Options, declarations

Digests = dict[tuple[str, str], str]  # by the name and the value of an option


def asked_of(
    options: Options, known: Digests | None = None, *, without: Collection[str] = ()
) -> dict[str, Any] | None:
    """Options and digests of inputs as they are asked for, JSON-compatible.

    Args:
        known: digests of inputs that are known already; new ones are put there.
        without: inputs that are left out.

    Returns:
        None where an input cannot be read (the stage will say so), or only once (standard input).
    """
    if not options.COMMAND.quick:
        return {"options": options.asked(), "inputs": {}}
    known = {} if known is None else known
    inputs = {}
    try:
        for name, read in _readers(options).items():
            if name not in without:
                source = getattr(options, name)
                if (name, source) not in known:
                    known[name, source] = read(source)
                inputs[name] = known[name, source]
    except (RrtoolError, OSError):
        return None
    return {"options": options.asked(), "inputs": inputs}


def _readers(options: Options) -> dict[str, Callable[[str], str]]:
    """What gives the digest of each input."""

    def of_images(source: str) -> str:
        from rrtool.images.collection import collect  # not where no photo is read

        if source == "-":
            raise UsageError("standard input can be read once only")
        boxes, gallery = (getattr(options, key, None) for key in ("boxes", "gallery"))
        return collect(source, boxes, gallery).inputs[0].digest

    return {
        **dict.fromkeys(options.of_role("artifact"), digest_of),
        **dict.fromkeys(options.of_role("images"), of_images),
        **dict.fromkeys(options.of_role("file"), digest_of_source),
        **_readers_of_network(options),
    }


def _readers_of_network(options: Options) -> dict[str, Callable[[str], str]]:
    """Of the files that the network is read from."""
    found: dict[str, Callable[[str], str]] = {}
    for name, declared in declarations(type(options)).items():
        if declared.declared.role == "network" and declared.is_read:
            path = declared.file_in(getattr(options, name))
            if path is not None:
                found[name] = partial(lambda path, _: digest_of_source(path), path)
    return found


def digest_of(path: str) -> str:
    """Of an artifact's content, and for a graph of what its vertices are.

    Other features may have an equal graph; what is made of it is of their rows all the same.
    """
    with open_artifact(path) as artifact:
        if artifact.kind == Graph.KIND:
            return f"{artifact.digest} of {artifact.input('features').digest}"
        return artifact.digest


def typed_names(options: Options) -> dict[str, str]:
    """How the user types each option, for messages."""
    return {
        name: declared.name if declared.declared.positional else declared.typed
        for name, declared in declarations(type(options)).items()
    }
