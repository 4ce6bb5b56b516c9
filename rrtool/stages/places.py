"""Where outputs may go: nowhere else than beside the inputs and each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rrtool.artifacts import skipped_list_path
from rrtool.errors import UsageError
from rrtool.files import is_same_file, require_place
from rrtool.options import Options, OutputOptions, declarations


def check_places(options: Options) -> None:
    """Every output of a command has a place of its own, that of no input.

    Paths are compared as files: by other spellings and through links they are the same. The lists
    of skipped inputs beside the outputs count as outputs.

    Raises:
        UsageError: there is no place for an output, or it is an input or another output.
    """
    folders = options.of_role("output").keys() - options.written().keys()
    for name in folders:
        require_no_input(options, Path(getattr(options, name)))
    written = [(options.typed(name), Path(path)) for name, path in options.written().items()]
    for i, (typed, path) in enumerate(written):
        require_place(path)
        require_no_input(options, path)
        _require_other(path, typed, written[:i])
    if isinstance(options, OutputOptions):
        for _, path in written:
            beside = skipped_list_path(path)
            require_place(beside)
            require_no_input(options, beside)
            _require_other(beside, "the list of skipped inputs", written)


def _require_other(path: Path, name: str, taken: Sequence[tuple[str, Path]]) -> None:
    for other, place in taken:
        if is_same_file(path, place):
            raise UsageError(f"{other} and {name} name the same file", found=path)


def require_no_input(options: Options, output: Path) -> None:
    """Nothing is put in the place of what it is made of, ``--overwrite`` or not.

    Raises:
        UsageError: the output is one of the inputs.
    """
    for typed, path in _inputs(options):
        if is_same_file(output, path):
            what, todo = "the output is one of the inputs", "choose another name for it"
            raise UsageError(what, where=output, found=typed, todo=todo)


def _inputs(options: Options) -> Iterator[tuple[str, str]]:
    """What may be the path of an input, and the option that says it."""
    for name, declared in declarations(type(options)).items():
        value = getattr(options, name)
        for each in (value or ()) if declared.many else (value,):
            path = declared.file_in(each) if declared.is_read and each is not None else None
            if path is not None:
                yield declared.typed, path
