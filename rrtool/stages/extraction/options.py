"""Options of extract: what its descriptors depend on, and what else comes out of the same pass."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import Command, Options, OutputOptions, argument, declarations, option
from rrtool.stages.discovery.options import FeatureSaliencyOptions, SaliencyFsOptions
from rrtool.stages.matching.options import DetectLocalOptions, LocalOptions
from rrtool.stages.retrieval.options import CLASS_TOKEN, ExtractOptions


@dataclass(frozen=True, kw_only=True)
class OnePassOptions(ExtractOptions, LocalOptions, FeatureSaliencyOptions):
    """Describe every image, or every box, by one l2-normalised vector (features).

    Local features (--local, --query-local), salient regions (--fs-regions) and activation maps
    (--save-maps) come out of the same pass, as detect-local and saliency fs make them. What is
    there already is left alone.
    """

    local: str | None = option(
        None,
        "Write local features of the images as a database too, to this artifact (local-features).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    query_local: str | None = option(
        None,
        "Write local features of the images as queries too, with the levels of --local or of "
        "--levels-from, to this artifact (local-features).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    fs_regions: str | None = option(
        None, "Write the regions of feature saliency too, to this artifact (regions).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    fs_features: str | None = option(
        None,
        "Write the FS.EGM descriptors of the images too, by the regions of --fs-regions, to this "
        "artifact (features).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    save_maps: str | None = option(
        None, "Write the activation maps too, to this artifact (activation-maps).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        self._check_unused(LocalOptions, "local", "query_local")
        self._check_unused(FeatureSaliencyOptions, "fs_regions")
        if self.query_local is not None and self.local is None and self.levels_from is None:
            raise OptionError(
                "--query-local needs the levels of the database", option="query_local",
                expected="--local or --levels-from",
            )  # fmt: skip
        if self.fs_features is not None and self.fs_regions is None:
            raise OptionError(
                "--fs-features has no effect alone", option="fs_features", todo="give --fs-regions"
            )
        maps = ("local", "query_local", "fs_regions", "save_maps")
        of_maps = [name for name in maps if getattr(self, name) is not None]
        if self.pool == CLASS_TOKEN and of_maps:
            raise UsageError(
                "--pool cls has no maps", found=self.typed(of_maps[0]),
                todo="make it by a run with another --pool",
            )  # fmt: skip
        if self.zoom is not None and of_maps:
            raise UsageError(
                "with --zoom there are no maps of whole images", found=self.typed(of_maps[0]),
                todo="make it by a run of its own",
            )  # fmt: skip
        if self.fs_regions is not None and self.boxes is not None:
            what = "salient regions are of whole images"
            raise UsageError(what, found="--boxes", todo="leave out --fs-regions")

    def _check_unused(self, kind: type[Options], *outputs: str) -> None:
        """Options of a part that is not wanted would have no effect."""
        if all(getattr(self, output) is None for output in outputs):
            for name, declared in declarations(kind).items():
                if getattr(self, name) != declared.default:
                    raise OptionError(
                        f"{self.typed(name)} has no effect alone", option=name,
                        todo=f"give {' or '.join(map(self.typed, outputs))}",
                    )  # fmt: skip

    def descriptors(self) -> ExtractOptions:
        """Of the descriptors and of the activation maps."""
        return self.shared_with(ExtractOptions)

    def local_features(self) -> list[DetectLocalOptions]:
        """Of the local features, as detect-local takes them: of the database, then of queries."""
        wanted = []
        if self.local is not None:
            wanted.append(self.shared_with(DetectLocalOptions, role="database", output=self.local))
        if self.query_local is not None:
            own = {"output": self.query_local, "levels_from": self.levels_from or self.local}
            wanted.append(self.shared_with(DetectLocalOptions, role="query", **own))
        return wanted

    def salient_regions(self) -> SaliencyFsOptions | None:
        """Of the regions of feature saliency, as saliency fs takes them."""
        if self.fs_regions is None:
            return None
        own = {"output": self.fs_regions, "features": self.fs_features}
        return self.shared_with(SaliencyFsOptions, **own)

    def asking(self) -> dict[str, Options]:
        """See ``Options``: each output by the options of the command that makes it alone."""
        found: dict[str, Options] = {self.output: self.descriptors()}
        if self.save_maps is not None:
            found[self.save_maps] = self.descriptors()
        for local in self.local_features():
            found[local.output] = local
        regions = self.salient_regions()
        return found if regions is None else {**found, **regions.asking()}


@dataclass(frozen=True, kw_only=True)
class MergeOptions(OutputOptions):
    """Join the shares of --shard into what one run makes of all rows."""

    COMMAND: ClassVar = Command(
        "merge", "rrtool.stages.extraction.merge", "§2.5", "docs/artifacts.md", quick=False
    )
    shares: tuple[str, ...] = argument("All shares, in any order.")
