"""Ground truth of any folder with groups: what shares the query's label should be found."""

import posixpath
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.group_queries import GroupQueries, members_of
from rrtool.ground_truth.matching import Entries, match_names, rows_of_same, spelled
from rrtool.ground_truth.names import described, first_few
from rrtool.tables import in_words, read_table

PROTOCOL = "groups"
PREFIX, FOLDER = "prefix:", "folder"
ADVICE = "a rule sees the whole name with its folders; prefix:(?:.*/)?RULE passes over them"
# What an expression may take: some go back and forth in a name for ever.
_SECONDS, _SECONDS_A_NAME = 2.0, 0.001
# Braces that count nothing: letters in Python's syntax, and errors to allow in that of `regex`.
_OTHER_BRACE = re.compile(r"(\\.)|\{(?!\d*,?\d*\})", re.DOTALL)


class _Rule(Protocol):
    """What gives each image its label.

    Attributes:
        expected: what a name needs for an answer, for the error message.
    """

    @property
    def expected(self) -> str: ...

    def labels(self, names: Sequence[str]) -> list[str | None]:
        """Per name; None where the rule has no answer, empty for a distractor."""
        ...

    def unused(self, names: Sequence[str]) -> str:
        """What of the rule says nothing about these images, in words; empty if nothing."""
        ...

    def advice(self, names: Sequence[str]) -> str | None:
        """What to do about names that have no label, if that can be told."""
        ...


@dataclass(frozen=True)
class Groups:
    """A rule that gives each image name its label, and what the user wrote for it."""

    source: str
    rule: _Rule
    protocol: str = PROTOCOL

    def resolve(
        self,
        query_names: Sequence[str],
        database_names: Sequence[str],
        query_boxes: Sequence[object] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, Sequence[QueryGroundTruth]]:
        """The ground truth in the single setup `all`; boxes play no part.

        Args:
            tell: gets a line on how many groups there are, and what looks wrong about them.

        Raises:
            UsageError: some names have no label.
        """
        database_labels, labels = self.labels(database_names), self.labels(query_names)
        itself = rows_of_same(query_names, database_names)
        queries = GroupQueries(labels, members_of(database_labels, {*labels} - {""}), itself)
        if tell is not None:
            tell(self._counted(Counter(database_labels)))
            if unused := self.rule.unused([*database_names, *query_names]):
                tell(f"{self.source}: {unused}")
        return {"all": queries}

    def describe(self) -> dict[str, str]:
        positives = "database images with the query's label, without the query itself"
        return described(self.protocol, self.source, positives, "the query itself, by its name")

    def labels(self, names: Sequence[str]) -> list[str]:
        """The label of each image, empty for a distractor.

        Raises:
            UsageError: some names have none.
        """
        labels = self.rule.labels(names)
        if None in labels:
            unlabelled = [name for name, label in zip(names, labels, strict=True) if label is None]
            what = f"{len(unlabelled)} of {len(names)} image names have no label"
            found = first_few(unlabelled)
            todo = self.rule.advice(unlabelled)
            raise UsageError(
                what, where=self.source, expected=self.rule.expected, found=found, todo=todo
            )
        words = {label: in_words(label or "") for label in set(labels)}
        return [words[label] for label in labels]

    def _counted(self, sizes: Counter[str]) -> str:
        """How many groups there are, by the number of images of each label."""
        n, n_distractors = sizes.total(), sizes[""]
        members = [label for label in sizes if label]
        groups = "1 group" if len(members) == 1 else f"{len(members)} groups"
        line = f"{self.source}: {groups} among {n} images of the database"
        if n_distractors:
            line += f", and {n_distractors} distractors"
        if len(members) == 1 and n > 1 and not n_distractors:
            line += (
                f"; all are in one group, '{members[0]}', so that every order scores 100: {ADVICE}"
            )
        elif len(members) == n > 1:
            line += f"; each image is a group of its own: {ADVICE}"
        return line


def load_groups(source: str) -> Groups:
    """Groups by `prefix:REGEX`, by `folder`, or from a table of names and labels.

    - `prefix:REGEX`: the expression is matched at the start of the relative path; the label is its
      first group, or the whole match when it has none.
    - `folder`: the label is the path of the folder the image lies in.
    - a CSV or TSV file `name,label`: an empty label makes a distractor; a name without an
      extension stands for any image with that path or stem.

    Raises:
        UsageError: the expression or the table is malformed.
    """
    if source.startswith(PREFIX):
        return Groups(source, _Prefix(source))
    return Groups(source, _Folder() if source == FOLDER else _LabelTable(Path(source)))


class _Folder:
    expected = "names such as 'label/image.jpg'"

    def labels(self, names: Sequence[str]) -> list[str | None]:
        return [posixpath.dirname(name) or None for name in names]

    def unused(self, names: Sequence[str]) -> str:
        return ""

    def advice(self, names: Sequence[str]) -> str | None:
        return None


class _Prefix:
    """The first group of an expression, or all that it matches at the start of the name."""

    def __init__(self, source: str) -> None:
        import regex  # it can stop; Python's own, which says what is valid here, cannot

        self._source, text = source, source[len(PREFIX) :]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what later versions may read otherwise
                self._group = min(1, re.compile(text).groups)
            same = _OTHER_BRACE.sub(lambda found: found[1] or r"\{", text)
            self._pattern = regex.compile(same, regex.VERSION0)
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise UsageError(
                "not a regular expression", where=source, found=error, todo="see Python's re syntax"
            ) from error
        self.expected = f"names that begin with a match of {text}"

    def labels(self, names: Sequence[str]) -> list[str | None]:
        end = time.monotonic() + _SECONDS + _SECONDS_A_NAME * len(names)
        return [self._label(name, end) for name in names]

    def unused(self, names: Sequence[str]) -> str:
        return ""

    def advice(self, names: Sequence[str]) -> str | None:
        return None

    def _label(self, name: str, end: float) -> str | None:
        try:
            left = max(0.001, end - time.monotonic())
            match = self._pattern.match(in_words(name), timeout=left)
        except TimeoutError:
            raise UsageError(
                "the regular expression takes too long", where=self._source, found=f"'{name}'",
                todo="repeat nothing that repeats, such as (a+)+",
            ) from None  # fmt: skip
        # An empty match says nothing about the image: every such name would share one label.
        return (match[self._group] if match else None) or None


class _LabelTable:
    """Labels by the names that a table has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._labels: dict[str, str] = {}
        rows = read_table(path, ("name", "label")).rows
        words = {cell: in_words(cell.strip()) for cell in {cells[1] for _, cells in rows}}
        for line, (name, cell) in rows:
            label = words[cell]
            before = self._labels.setdefault(name, label)
            if before != label:
                raise UsageError(
                    f"a second label for '{name}'", where=f"{path}, line {line}",
                    expected=f"'{before}', as before", found=f"'{label}'",
                )  # fmt: skip

        forms = spelled([name for _, (name, _) in rows])
        self._n_repeated = len(forms) - len(set(forms))

    @cached_property
    def _entries(self) -> Entries:
        return Entries(list(self._labels))

    @property
    def expected(self) -> str:
        few = first_few(list(self._labels))
        return f"a line for every image, with an empty label for a distractor; it has {few}"

    def labels(self, names: Sequence[str]) -> list[str | None]:
        if not self._n_repeated and self._labels.keys() >= set(names):
            # No name spells that of another: each is the exact one of its image, and no other's.
            return [self._labels[name] for name in names]
        entries = self._entries.names
        taken: dict[str, str] = {}
        return [
            self._label(name, [entries[position] for position in own], taken)
            for name, own in zip(names, match_names(self._entries, names), strict=True)
        ]

    def unused(self, names: Sequence[str]) -> str:
        left = list[str]()
        if self._labels.keys() - set(names):  # an exact name is that of an image
            entries = self._entries.names
            used = {entry for own in match_names(self._entries, names) for entry in own}
            left = [name for position, name in enumerate(entries) if position not in used]
        parts = [f"{self._n_repeated} of its rows name an image again"] if self._n_repeated else []
        if left:
            parts.append(
                f"{len(left)} of its {len(self._labels)} names are of no image here: "
                f"{first_few(left)}; images are {first_few(list(names))}"
            )
        return "; ".join(parts)

    def advice(self, names: Sequence[str]) -> str | None:
        known = {in_words(entry).casefold() for entry in self._labels}
        alike = next((name for name in names if in_words(name).casefold() in known), None)
        return alike and (
            f"give '{alike}' a line of its own: names that look alike differ by case, or by how "
            "Unicode writes their letters (NFC, NFD)"
        )

    def _label(self, name: str, entries: Sequence[str], taken: dict[str, str]) -> str | None:
        labels = list(dict.fromkeys(self._labels[entry] for entry in entries))
        if len(labels) > 1:
            raise UsageError(
                f"two labels for '{name}'", where=self._path, expected="one",
                found=", ".join(f"'{entry}': '{self._labels[entry]}'" for entry in entries[:3]),
            )  # fmt: skip
        for entry in entries:  # one without an extension stands for any image of its stem
            if taken.setdefault(entry, name) != name and posixpath.splitext(entry)[1]:
                raise UsageError(
                    f"two images match '{entry}'", where=self._path,
                    found=first_few([taken[entry], name]), todo="write whole relative paths",
                )  # fmt: skip
        return labels[0] if labels else None
