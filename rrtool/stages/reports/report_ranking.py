"""The page of a ranking: of ``rrtool report``, and of whoever else has queries and hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rrtool.artifacts import LocalFeaturesFile, Ranking, open_artifact, require_same_names
from rrtool.files import have_same_content
from rrtool.progress import Progress
from rrtool.reports.document import facts_of, warning_of
from rrtool.reports.match_page import QueryResult, ShownHit, render_page
from rrtool.reports.picture_store import PictureStore, ShownPicture
from rrtool.reports.pictures import Pictures, evenly_spaced, tell_missing
from rrtool.reports.verified_match import Sheet
from rrtool.stages.reports.match_rule import MIN_INLIERS, MatchRule
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.ranking_head import Entry, read_head, score_of
from rrtool.stages.reports.ranking_matches import MatchDrawer, Verified, read_verified
from rrtool.stages.reports.ranking_truth import SCORE_COLUMNS, read_truth
from rrtool.stages.reports.text_output import write_text

N_HITS = 20


@dataclass(frozen=True, kw_only=True)
class PageInputs:
    """What a page of a ranking is made from.

    Attributes:
        ranking: its path.
        images: those of the database: a folder or list, as for ``extract``, or path by name.
        query_images: those of the queries; by default those of the database.
        query_local, database_local: paths of the local features of both sides; with them the
            matches are drawn.
        verified: path of another ranking of these queries and images, from ``rerank``, whose
            matches are shown; by default the ranking's own, if it has any.
        ground_truth: what to mark right and wrong by, as for ``evaluate``.
        max_queries: so many are shown, evenly spaced over all.
        n_hits: how many are shown of each.
        min_inliers: how many make a match.
    """

    ranking: str
    images: str | Mapping[str, str]
    query_images: str | Mapping[str, str] | None = None
    query_local: str | None = None
    database_local: str | None = None
    verified: str | None = None
    ground_truth: str | None = None
    max_queries: int = 50
    n_hits: int = N_HITS
    min_inliers: int = MIN_INLIERS


def write(options: ReportOptions, output: Path, progress: Progress) -> None:
    """Write the page that ``rrtool report`` makes of a ranking.

    Raises:
        RrtoolError: an input does not fit, or the output cannot be written.
    """
    inputs = PageInputs(
        ranking=options.artifacts[0], images=options.images or "",
        query_images=options.query_images, query_local=options.query_local,
        database_local=options.database_local, verified=options.verified,
        ground_truth=options.ground_truth, max_queries=options.max_queries,
    )  # fmt: skip
    write_page(inputs, output, progress)


def write_page(inputs: PageInputs, output: Path, progress: Progress) -> None:
    """Write a page that shows the head of each ranking, and the matches of verified ones.

    Raises:
        RrtoolError: an input does not fit, or the output cannot be written.
    """
    with ExitStack() as files:
        ranking = files.enter_context(open_artifact(inputs.ranking, Ranking))
        page = _Page(ranking, inputs, files)
        n_queries = len(page.query_names)
        shown = evenly_spaced(n_queries, inputs.max_queries)
        description = ranking.extra["description"]
        facts = {**facts_of(description), "ranking": ranking.path, "made": ranking.created}
        if len(shown) < n_queries:
            facts["queries shown"] = f"{len(shown)} of {n_queries}, evenly spaced"
        pieces = render_page(
            title="Ranked images of " + ("a query" if n_queries == 1 else f"{n_queries} queries"),
            warning=warning_of(ranking.network),
            facts=facts,
            score=page.score,
            rule=page.rule,
            score_columns=SCORE_COLUMNS,
            score_rows=page.truth.score_rows(),
            results=page.results(shown, progress),
        )
        write_text(output, pieces)
    tell_missing(progress, page.queries, page.database)


class _Page:
    """Makes the results of queries, one after the other."""

    def __init__(self, ranking: Ranking, inputs: PageInputs, files: ExitStack) -> None:
        self.ranking, self.inputs = ranking, inputs
        self.query_names = ranking.query_names
        self.database_names = Ranking.database_names.encoded(ranking)  # few are shown
        description = ranking.extra["description"]
        self.score = score_of(description)
        self.rule = MatchRule.of(description, inputs.min_inliers)
        self.truth = read_truth(
            inputs.ground_truth, ranking, str(description.get("method", "ranking"))
        )
        self.queries = self.database = Pictures(inputs.images, self.database_names)
        if inputs.query_images is not None:
            self.queries = Pictures(inputs.query_images, self.query_names)
        self.verified = self._verified(files)
        self.drawer = self._drawer(files)
        n_shown = min(len(self.query_names), inputs.max_queries) * (1 + inputs.n_hits)
        n_images = len(self.database_names) + len(self.query_names)
        self.store = PictureStore(min(n_shown, n_images))

    def _verified(self, files: ExitStack) -> Ranking | None:
        """The ranking whose matches are shown."""
        if self.inputs.verified is None:
            return self.ranking if self.ranking.is_verified else None
        verified = files.enter_context(open_artifact(self.inputs.verified, Ranking))
        for own, others in (
            (self.query_names, verified.query_names),
            (self.database_names, Ranking.database_names.encoded(verified)),
        ):
            require_same_names(own, self.ranking.path, others, verified.path)
        return verified if verified.is_verified else None

    def _drawer(self, files: ExitStack) -> MatchDrawer | None:
        paths = self.inputs.query_local, self.inputs.database_local
        if self.verified is None or None in paths:
            return None
        sides = []
        for path, names in zip(paths, (self.query_names, self.database_names), strict=True):
            local = files.enter_context(open_artifact(str(path), LocalFeaturesFile))
            others = LocalFeaturesFile.names.encoded(local)
            require_same_names(names, self.ranking.path, others, local.path)
            sides.append(local)
        return MatchDrawer(self.verified, *sides)

    def results(self, shown: Sequence[int], progress: Progress) -> Iterator[QueryResult]:
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown:
                yield self._result(query)
                advance(1)

    def _result(self, query: int) -> QueryResult:
        name = self.query_names[query]
        picture = self.store.show(self.queries, name)
        entries, own = read_head(
            self.ranking, query, self.inputs.n_hits, lambda row: self._is_own(query, row)
        )
        verified = {} if self.verified is None else read_verified(self.verified, query)
        hits = [self._hit(query, entry, picture, verified.get(entry.row)) for entry in entries]
        box = self.ranking.read(Ranking.query_boxes, slice(query, query + 1))[0]
        return QueryResult(
            name, picture, None if picture is None else picture.box(box.tolist()), hits,
            [self.database_names[row] for row in own], self.truth.note(query),
            self.store.take_new(),
        )  # fmt: skip

    def _is_own(self, query: int, row: int) -> bool:
        """Whether an image is the photo of the query."""
        query_name, name = self.query_names[query], self.database_names[row]
        if self.queries is self.database:
            return query_name == name
        first, second = self.queries.path(query_name), self.database.path(name)
        return first is not None and second is not None and have_same_content(first, second)

    def _hit(
        self, query: int, entry: Entry, picture: ShownPicture | None, verified: Verified | None
    ) -> ShownHit:
        name = self.database_names[entry.row]
        sheet = Sheet(picture, self.store.show(self.database, name))
        found = sheet.second
        box = found.box(entry.box) if found is not None and entry.box is not None else None
        match = None
        if self.drawer is not None and verified is not None:
            match = self.drawer.draw(query, entry.row, verified, sheet)
        n_inliers = None if verified is None else verified.n_inliers
        return ShownHit(
            entry.rank, name, self.truth.mark(query, entry.row), entry.score, entry.similarity,
            entry.rank_by_similarity, n_inliers, self.rule.holds(entry.similarity, n_inliers),
            sheet, match, box,
        )  # fmt: skip
