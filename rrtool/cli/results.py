"""What a command prints of the result of its stage."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rrtool.cli.commands import Show
from rrtool.cli.console import EXIT_SKIPPED, emit_json, emit_path
from rrtool.progress import Progress

if TYPE_CHECKING:
    from rrtool.stages.collection.find import Findings
    from rrtool.stages.collection.index import Indexed
    from rrtool.stages.learning.frozen.predict import Predictions
    from rrtool.stages.reports.demo import Demo
    from rrtool.stages.reports.report import Page
    from rrtool.stages.training.train import Trained

_MOST_KINDS = 6  # of other files, named beside their number


def show_path(path: Path, console: Progress, as_json: bool) -> None:
    """The path of an artifact; exit code 3 if some inputs were skipped."""
    facts = _facts_of(path, console)
    emit_path(path, as_json, lambda: facts)
    if facts.get("n_skipped"):
        raise typer.Exit(EXIT_SKIPPED)


def _facts_of(path: Path, console: Progress) -> dict[str, Any]:
    """What an artifact knows of itself; what it left out is said."""
    from rrtool.artifacts import open_artifact, skipped_list_path

    with open_artifact(path) as artifact:
        facts = {"kind": artifact.kind, "uuid": artifact.uuid, **artifact.extra}
    n_skipped, passed_over = facts.get("n_skipped"), facts.get("passed_over")
    if passed_over:
        kinds = ", ".join(f"{kind} {n}" for kind, n in list(passed_over.items())[:_MOST_KINDS])
        kinds += ", …" if len(passed_over) > _MOST_KINDS else ""
        files = f"{sum(passed_over.values())} other files were passed over ({kinds})"
        console.message(f"{files}; see {skipped_list_path(path)}")
    if n_skipped:
        console.message(f"{n_skipped} inputs were skipped: see {skipped_list_path(path)}")
    return facts


def show_scores(scores: list[dict[str, Any]], console: Progress, as_json: bool) -> None:
    """Scores of rankings, of saliency or of objects, side by side."""
    from rrtool.cli.tables import print_rows, print_rules, print_scores

    if as_json:
        emit_json(scores)
    elif "ranking" in scores[0]:
        print_scores(scores)
        for more in ("audit", "regions"):
            rows = [{"ranking": each["ranking"], **row} for each in scores
                    for row in each.get(more, ())]  # fmt: skip
            if rows:
                print_rows(rows)
    else:
        print_rows([{key: row[key] for key in row if key != "rules"} for row in scores])
        print_rules(scores[0]["rules"])


def show_networks(rows: list[dict[str, Any]], console: Progress, as_json: bool) -> None:
    """The networks that there are, one a row."""
    from rrtool.cli.tables import print_rows

    if as_json:
        emit_json(rows)
    else:
        print_rows([{**row, "installed": "yes" if row["installed"] else "no"} for row in rows])


def show_facts(facts: dict[str, Any], console: Progress, as_json: bool) -> None:
    """What is known of an artifact."""
    from rrtool.cli.tables import print_facts

    emit_json(facts) if as_json else print_facts(facts)


def show_agreement(path: Path, console: Progress, as_json: bool) -> None:
    """How far acquisition strategies agree, and the correlations of their ranks."""
    from rrtool.artifacts import AlAgreement, open_artifact
    from rrtool.cli.tables import print_rows
    from rrtool.reports.agreement_page import table_rows

    with open_artifact(path, AlAgreement) as study:
        extra = study.extra
    if as_json:
        emit_json({"output": str(path), **extra})
        return
    for rows in table_rows(extra):
        print_rows(rows)


def show_page(page: "Page", console: Progress, as_json: bool) -> None:
    """The path of a page; before it the table of learning curves."""
    if "table" in page.data and not as_json:
        from rrtool.cli.tables import print_rows

        print_rows(page.data["table"])
    emit_path(page.path, as_json, lambda: page.data)


def show_diagnosis(facts: dict[str, Any], console: Progress, as_json: bool) -> None:
    """What a doctor found; exit code 1 if something is wrong."""
    from rrtool.cli.tables import print_facts

    wrong = facts["wrong"]
    if as_json:
        emit_json(facts)
    else:
        print_facts({key: value for key, value in facts.items() if key != "wrong"})
        for line in wrong:
            console.message(f"wrong: {line}")
        if not wrong:
            console.message("nothing is wrong")
    if wrong:
        raise typer.Exit(1)


def show_file(path: Path, console: Progress, as_json: bool) -> None:
    """The path of a file of another program."""
    emit_path(path, as_json, dict)


def show_predictions(made: "Predictions", console: Progress, as_json: bool) -> None:
    """The path of the table; exit code 3 if some photos could not be used."""
    if made.n_skipped:
        from rrtool.artifacts import skipped_list_path

        list_path = skipped_list_path(made.path)
        console.message(f"{made.n_skipped} inputs were skipped: see {list_path}")
    emit_path(made.path, as_json, lambda: {"n_skipped": made.n_skipped})
    if made.n_skipped:
        raise typer.Exit(EXIT_SKIPPED)


def show_trained(made: "Trained", console: Progress, as_json: bool) -> None:
    """The path of the weights; exit code 3 if some photos could not be used."""
    facts = _facts_of(made.record, console)
    emit_path(made.path, as_json, lambda: {"record": str(made.record), **facts})
    if facts.get("n_skipped"):
        raise typer.Exit(EXIT_SKIPPED)


def show_demo(made: "Demo", console: Progress, as_json: bool) -> None:
    """The scores, and the path of the page."""
    if made.scores and not as_json:
        from rrtool.cli.tables import print_scores

        print_scores(made.scores)
    emit_path(made.path, as_json, lambda: {"rankings": made.scores})


def show_index(made: "Indexed", console: Progress, as_json: bool) -> None:
    """The folder of the index; exit code 3 if some photos were skipped."""
    if not made.work.told:
        console.message(f"{made.path} is up to date")
    if made.features is not None:
        _facts_of(made.features, console)
    facts = {"n_photos": made.work.n_photos, "n_computed": made.work.n_computed,
             "n_skipped": made.n_skipped}  # fmt: skip
    emit_path(made.path, as_json, lambda: facts)
    if made.n_skipped:
        raise typer.Exit(EXIT_SKIPPED)


def show_found(findings: "Findings", console: Progress, as_json: bool) -> None:
    """The hits of every query; exit code 3 if some photos could not be used."""
    if as_json:
        emit_json(asdict(findings))
    elif findings.as_table:
        from rrtool.tables import table_lines

        for line in table_lines(findings.rows()):
            typer.echo(line, nl=False)
    else:
        from rrtool.cli.tables import print_found

        print_found(findings)
    if any(each.failure for each in findings.found):
        raise typer.Exit(EXIT_SKIPPED)


# Commands that show more than a path.
SHOWN: dict[str, Show] = {
    "predict": show_predictions,
    "al-agree": show_agreement,
    "demo": show_demo,
    "doctor": show_diagnosis,
    "evaluate": show_scores,
    "export": show_file,
    "find": show_found,
    "index": show_index,
    "inspect": show_facts,
    "networks": show_networks,
    "report": show_page,
    "train": show_trained,
}
