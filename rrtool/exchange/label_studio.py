"""Label Studio: tasks with predictions out, completed annotations back."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from rrtool.errors import UsageError
from rrtool.exchange.labelled import LabelledImage, LabelRow

# The names that our tasks give to the question and to what is asked about.
QUESTION, IMAGE = "label", "image"
# What Label Studio puts before the name of a file that is uploaded to it.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
# What it calls the question in its own templates.
_QUESTIONS = (QUESTION, "choice")


def rows_of(tasks: Sequence[Any], path: str) -> list[LabelRow]:
    """The completed annotations of an export (JSON or JSON-MIN), one row each.

    Predictions and drafts are nobody's word, and no labels. An annotation that was skipped or has
    no class, or several, is a row with its problem. Tasks without any are left out.

    Raises:
        UsageError: it is no such export, asks about something else than classes of whole images,
            or has no annotation.
    """
    rows: list[LabelRow] = []
    for position, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            raise _malformed(f"{path}, task {position}", "a table", task)
        where = f"{path}, task {task.get('id', position)}"
        if "data" in task:
            rows += _rows_of_task(task, where)
        elif label := _plain_label(task):
            rows.append(_row(where, task, label))
    if not rows:
        raise UsageError(
            "no completed annotation in this export of Label Studio", where=path,
            expected="annotations of type choices", found=f"{len(tasks)} tasks without one",
        )  # fmt: skip
    return rows


def _rows_of_task(task: Mapping[str, Any], where: str) -> Iterator[LabelRow]:
    data, annotations = task["data"], task.get("annotations", [])
    if not isinstance(data, dict):
        raise _malformed(where, "data, a table", data)
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise _malformed(where, "annotations, a list of tables", annotations)
    image = {**data, "file_upload": task.get("file_upload")}
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            yield _row(where, image, "", "it was skipped in Label Studio")
        else:
            classes = _choices(annotation.get("result", []), where)
            problem = {0: "an annotation without a class", 1: ""}.get(
                len(classes), f"{len(classes)} classes chosen for one image"
            )
            yield _row(where, image, "" if problem else classes[0], problem)


def _choices(results: Any, where: str) -> list[str]:
    """The classes that one annotation chose."""
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise _malformed(where, "result, a list of tables", results)
    by_question: dict[str, list[str]] = {}
    kinds = {str(one.get("type")) for one in results}
    for one in results:
        value = one.get("value")
        found = value.get("choices") if isinstance(value, dict) else None
        if one.get("type") == "choices":
            if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
                raise _malformed(where, "choices, a list of names", value)
            by_question.setdefault(str(one.get("from_name")), []).extend(found)
    if results and not by_question:
        raise UsageError(
            "these annotations are no classes of whole images: is it of another project?",
            where=where, expected="results of type choices", found=", ".join(sorted(kinds)),
        )  # fmt: skip
    if len(by_question) < 2:
        return next(iter(by_question.values()), [])
    if QUESTION not in by_question:
        raise UsageError(
            "there are several questions, and none is called 'label'", where=where,
            found=", ".join(sorted(by_question)),
        )  # fmt: skip
    return by_question[QUESTION]


def _plain_label(task: Mapping[str, Any]) -> str:
    """The class of a task of JSON-MIN; empty where it has none."""
    for question in _QUESTIONS:
        if isinstance(task.get(question), str):
            return str(task[question])
    return ""


def _row(where: str, data: Mapping[str, Any], label: str, problem: str = "") -> LabelRow:
    row = data.get("row")
    is_ours = isinstance(row, int) and not isinstance(row, bool)
    names = tuple(dict.fromkeys(_names(data)))
    return LabelRow(where, str(row) if is_ours else "", names, label, problem)


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    """What the image of a task may be called: as we wrote it, or by its address."""
    if isinstance(data.get("name"), str):
        yield data["name"]
    for key in dict.fromkeys((IMAGE, "file_upload", *data)):
        if isinstance(data.get(key), str) and key not in _QUESTIONS and data[key]:
            yield from names_of_address(data[key])


def names_of_address(address: str) -> Iterator[str]:
    """What an image that is shown from an address may be called.

    >>> list(names_of_address("/data/local-files/?d=shop/my%20mug.jpg"))
    ['/shop/my mug.jpg', 'my mug.jpg']
    >>> list(names_of_address("/data/upload/7/1a2b3c4d-mug.jpg"))
    ['/data/upload/7/1a2b3c4d-mug.jpg', '1a2b3c4d-mug.jpg', 'mug.jpg']
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that are no address
        return
    path = parts.query.partition("d=")[2] if parts.query.startswith("d=") else parts.path
    path = unquote(path, errors="surrogateescape")
    if path.strip("/"):
        own = path.rsplit("/", 1)[-1]
        yield path if path.startswith("/") or not parts.query else f"/{path}"
        yield own
        if _UPLOADED.match(own):
            yield own[9:]


def _malformed(where: str, expected: str, found: object) -> UsageError:
    what = "no export of Label Studio"
    return UsageError(what, where=where, expected=expected, found=str(found)[:60])


def tasks_pieces(images: Sequence[LabelledImage], prefix: str, version: str) -> Iterator[str]:
    """Tasks, one a line: those that have a label with an annotation, the others with a prediction.

    Args:
        prefix: what stands before the name of an image in its address.
        version: what the predictions are said to be made by.
    """
    before = "[\n"
    for image in images:
        address = prefix + quote(image.name, safe="/", errors="surrogateescape")
        task: dict[str, Any] = {"data": {IMAGE: address, "name": image.name, "row": image.row}}
        if image.label:
            task["annotations"] = [{"result": [_chosen(image.label)]}]
        elif image.suggested:
            score = round(image.confidence, 4)
            task["predictions"] = [
                {"model_version": version, "score": score, "result": [_chosen(image.suggested)]}
            ]
        yield before + json.dumps(task)
        before = ",\n"
    yield "\n]\n" if images else "[]\n"


def _chosen(name: str) -> dict[str, Any]:
    return {
        "from_name": QUESTION, "to_name": IMAGE, "type": "choices", "value": {"choices": [name]},
    }  # fmt: skip


def interface(class_names: Sequence[str]) -> str:
    """The labelling interface of a project that takes these tasks, as XML."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in class_names)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{QUESTION}" toName="{IMAGE}" choice="single-radio" '
        f'showInLine="true">\n{choices}  </Choices>\n</View>\n'
    )
