"""The command line: thin Typer commands. A stage is imported only when its command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rrtool import __version__, config
from rrtool.console import (
    EXIT_INTERRUPTED,
    EXIT_SKIPPED,
    Console,
    emit_json,
    emit_path,
    path_argument,
    reported,
)

app = typer.Typer(
    name="rrtool",
    help="Find the same object again in large photo collections, and learn from few labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": "RRTOOL", "help_option_names": ["-h", "--help"]},
)

whiten_app = typer.Typer(
    help="Learn a whitening of features, apply it, or take over a checkpoint's.",
    no_args_is_help=True,
)
app.add_typer(whiten_app, name="whiten")
saliency_app = typer.Typer(
    help="Find what is salient in images: fs by activations, os by what repeats.",
    no_args_is_help=True,
)
app.add_typer(saliency_app, name="saliency")

Output = Annotated[Path, typer.Option("--output", "-o", help="The artifact to write.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output made with other options or inputs.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<i>.")]
Workers = Annotated[int, typer.Option(help="Decoding threads; 0 = as many as cores.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Images = Annotated[
    str, typer.Argument(help="Folder (recursive), text or CSV list, or - for a list on stdin.")
]
NetworkName = Annotated[
    str,
    typer.Option(
        help="vgg16, resnet18, resnet50, resnet101, squeezenet1_0, squeezenet1_1, "
        "mobilenet_v2 or alexnet."
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="Weights file or retrieval checkpoint, 'imagenet' (downloaded once), or 'none' "
        "(untrained)."
    ),
]
MaxSize = Annotated[int, typer.Option(help="Shrink the longer side to this many pixels.")]
MaxPixels = Annotated[int, typer.Option(help="Refuse larger image files unread.")]
Scales = Annotated[str, typer.Option(help="Factors of the image size, comma-separated.")]
Upsample = Annotated[
    bool, typer.Option("--upsample", help="Double the last map's resolution (VGG, ResNet).")
]
Boxes = Annotated[
    str | None,
    typer.Option(help="Query boxes: CSV name,x0,y0,x1,y1; revisited .pkl; Oxford5k folder."),
]
Gallery = Annotated[
    str | None, typer.Option(help="Only the images in the gallery of this revisited .pkl.")
]
BatchSize = Annotated[int, typer.Option(help="Images of one size run together; 0 = by device.")]


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    with reported():
        context.default_map = config.read_defaults(_option_names(context.command))


def _option_names(group: Any, prefix: str = "") -> dict[str, set[str]]:
    """The option names of each subcommand; of those in a group as ``group.subcommand``."""
    known: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            known |= _option_names(command, f"{prefix}{name}.")
        else:
            known[prefix + name] = {str(parameter.name) for parameter in command.params}
    return known


def _finish(path: Path, as_json: bool) -> None:
    """Print the result; exit with 3 if some inputs were skipped."""
    from rrtool.artifacts import open_artifact

    with open_artifact(path) as artifact:
        facts = {"kind": artifact.kind, "uuid": artifact.uuid, **artifact.extra}
    emit_path(path, as_json, lambda: facts)
    if facts.get("n_skipped"):
        raise typer.Exit(EXIT_SKIPPED)


def _say_skipped(console: Console, path: Path) -> None:
    from rrtool.artifacts import open_artifact
    from rrtool.stages.network_run import skipped_list_path

    with open_artifact(path) as artifact:
        n_skipped = artifact.extra.get("n_skipped", 0)
    if n_skipped:
        console.message(f"{n_skipped} inputs were skipped: see {skipped_list_path(path)}")


def _scales(text: str) -> tuple[float, ...]:
    from rrtool.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError("bad --scales", expected="numbers like 1,0.7071,0.5", found=text) from None


@app.command()
def extract(
    images: Images,
    output: Output,
    network: NetworkName,
    weights: Weights,
    pool: Annotated[
        str | None,
        typer.Option(help="gem, mac, spoc, rmac or crow; default: the checkpoint's, gem."),
    ] = None,
    gem_exponent: Annotated[
        float | None, typer.Option(help="Exponent of GeM; default: the checkpoint's, 3.")
    ] = None,
    whitening: Annotated[
        str, typer.Option(help="The checkpoint's whitening: auto, none, or the name of its set.")
    ] = "auto",
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    boxes: Boxes = None,
    gallery: Gallery = None,
    regions: Annotated[
        int | None,
        typer.Option(help="Describe regions instead, uniform at so many levels (regions)."),
    ] = None,
    save_maps: Annotated[
        Path | None, typer.Option(help="Write the activation maps too, to this artifact.")
    ] = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Describe every image by one vector (features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import extract as stage
        from rrtool.stages.network_run import NetworkOptions

        inference = NetworkOptions(
            network, weights, upsample, _scales(scales), max_size, max_pixels, seed, device,
            workers, batch_size,
        )  # fmt: skip
        options = stage.ExtractOptions(inference, pool, gem_exponent, whitening)
        if regions is not None:
            from rrtool.errors import UsageError
            from rrtool.stages import extract_regions

            if save_maps is not None:
                raise UsageError("--regions and --save-maps do not go together")
            path = extract_regions.run(
                images,
                output,
                options,
                regions,
                boxes=boxes,
                gallery=gallery,
                overwrite=overwrite,
                progress=console,
            )
            _say_skipped(console, path)
            _finish(path, json)
            return
        path = stage.run(
            images,
            output,
            options,
            boxes=boxes,
            gallery=gallery,
            maps_output=save_maps,
            overwrite=overwrite,
            progress=console,
        )
        _say_skipped(console, path)
        _finish(path, json)


@app.command("detect-local")
def detect_local(
    images: Images,
    output: Output,
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: Annotated[
        str | None, typer.Option(help="Activation maps of these images, in place of a network.")
    ] = None,
    role: Annotated[str, typer.Option(help="query or database.")] = "database",
    max_features: Annotated[
        int | None, typer.Option(help="Per image, over all scales; default: number of channels.")
    ] = None,
    max_per_channel: Annotated[
        int | None, typer.Option(help="Drop fuller channels; default: 20 query, 10 database.")
    ] = None,
    nms_iou: Annotated[
        float | None,
        typer.Option(help="Overlap that suppresses; default: none query, 0.2 database."),
    ] = None,
    min_diversity: Annotated[float, typer.Option(help="Of MSER.")] = 0.7,
    max_variation: Annotated[float, typer.Option(help="Of MSER.")] = 0.5,
    delta: Annotated[
        int | None, typer.Option(help="MSER's step in 8-bit levels; default: from the images.")
    ] = None,
    levels_from: Annotated[
        str | None, typer.Option(help="Local features whose levels to take over.")
    ] = None,
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    boxes: Boxes = None,
    gallery: Gallery = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect local features in the activation maps of every image (local-features)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages import detect_local as stage
        from rrtool.stages.network_run import NetworkOptions

        if maps is None and (network is None or weights is None):
            raise UsageError("no activations", expected="--network and --weights, or --maps")
        inference = NetworkOptions(
            network or "", weights or "", upsample, _scales(scales), max_size, max_pixels, seed,
            device, workers, batch_size,
        )  # fmt: skip
        options = stage.DetectLocalOptions.of(
            inference, delta, role, min_diversity, max_variation, max_per_channel, nms_iou,
            max_features,
        )  # fmt: skip
        path = stage.run(
            images,
            output,
            options,
            boxes=boxes,
            gallery=gallery,
            maps=maps,
            levels_from=levels_from,
            overwrite=overwrite,
            progress=console,
        )
        _say_skipped(console, path)
        _finish(path, json)


@whiten_app.command("fit")
def whiten_fit(
    features: Annotated[str, typer.Argument(help="Features, not whitened.")],
    output: Output,
    groups: Annotated[
        str | None,
        typer.Option(help="Images of one label match: prefix:REGEX, folder, a CSV name,label."),
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Matching images: a CSV of two names a row.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="supervised, pca, or center (the mean only).")
    ] = "supervised",
    dim: Annotated[int | None, typer.Option(help="Dimensions to keep; default: all.")] = None,
    shrinkage: Annotated[
        float | None,
        typer.Option(help="Of the covariance, in [0, 1]; default: by the number of images."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a whitening from features and matching images (whitening)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import whiten_fit as stage

        path = stage.run(
            path_argument(features),
            output,
            stage.FitOptions(method, dim, shrinkage, groups, pairs),
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@whiten_app.command("apply")
def whiten_apply(
    features: Annotated[str, typer.Argument(help="Features, not whitened.")],
    whitening: Annotated[str, typer.Argument(help="From whiten fit or whiten export.")],
    output: Output,
    center: Annotated[
        str | None,
        typer.Option(help="Subtract the mean of these features (the database's) instead."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Whiten features (features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import whiten as stage

        path = stage.apply(
            path_argument(features),
            path_argument(whitening),
            output,
            center=center,
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@whiten_app.command("export")
def whiten_export(
    checkpoint: Annotated[str, typer.Argument(help="A retrieval checkpoint.")],
    output: Output,
    set: Annotated[
        str | None,
        typer.Option(help="Of several, the whitening of this set; NAME/ss is for one scale."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take a checkpoint's own whitening out of it (whitening)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import whiten as stage

        path = stage.export(checkpoint, output, set_name=set, overwrite=overwrite, progress=console)
        _finish(path, json)


@app.command()
def search(
    queries: Annotated[str, typer.Argument(help="Features of the queries.")],
    database: Annotated[str, typer.Argument(help="Features of the database.")],
    output: Output,
    top: Annotated[int | None, typer.Option(help="Entries per query; default: all.")] = None,
    expand: Annotated[
        int, typer.Option(help="Average each query with its nearest N and search again; 0 = no.")
    ] = 0,
    expand_alpha: Annotated[
        float, typer.Option(help="Weigh what is averaged by similarity to this power.")
    ] = 0.0,
    augment: Annotated[
        int, typer.Option(help="First average each database image with its nearest N; 0 = no.")
    ] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rank the database by similarity to each query (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import search as stage

        path = stage.run(
            path_argument(queries),
            path_argument(database),
            output,
            stage.SearchOptions(top, expand, expand_alpha, augment),
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@app.command()
def centrality(
    graph: Annotated[str, typer.Argument(help="A graph, from build-graph.")],
    output: Output,
    measure: Annotated[
        str,
        typer.Option(help="degree, eigenvector, pagerank, katz, betweenness or closeness."),
    ],
    alpha: Annotated[
        float | None, typer.Option(help="Of pagerank (default 0.85) and katz (default 0.99).")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Estimate betweenness or closeness from so many vertices; default: exact, up to "
            "30,000 vertices."
        ),
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="Where the iteration stops; default: 1e-6 katz, else 1e-8."),
    ] = None,
    max_iter: Annotated[
        int | None, typer.Option(help="Most iterations; default: 100 katz, else 1000.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how significant each vertex of a graph is (centrality)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import centrality as stage

        path = stage.run(
            path_argument(graph),
            output,
            stage.CentralityOptions(measure, alpha, samples, tol, max_iter, seed, device),
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@app.command("build-graph")
def build_graph(
    features: Annotated[str, typer.Argument(help="Features, or regions.")],
    output: Output,
    k: Annotated[
        int | None,
        typer.Option("--k", help="Neighbours of each; default: 50, fewer under 2000 images."),
    ] = None,
    gamma: Annotated[float, typer.Option(help="Exponent of the edge weights.")] = 3.0,
    method: Annotated[
        str, typer.Option(help="exact, or approximate: ivf or hnsw (recall is measured).")
    ] = "exact",
    symmetrize: Annotated[
        str, typer.Option(help="mutual (neighbours that list each other) or sum.")
    ] = "mutual",
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Connect descriptors with their nearest neighbours (graph)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import build_graph as stage

        path = stage.run(
            path_argument(features),
            output,
            stage.BuildGraphOptions(k, gamma, method, symmetrize, device, seed),
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@app.command()
def diffuse(
    output: Output,
    graph: Annotated[str, typer.Option(help="Graph of the database, from build-graph.")],
    database: Annotated[str, typer.Option(help="Features of the database.")],
    queries: Annotated[str | None, typer.Option(help="Features of the queries.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Start at the best images of this verified ranking.")
    ] = None,
    kq: Annotated[
        int | None,
        typer.Option(
            "--kq", help="Where to start; default: 10 nearest, or 5 best verified images."
        ),
    ] = None,
    verified: Annotated[
        int, typer.Option(help="Of the seeds' ranking, the images that may become seeds.")
    ] = 10,
    alpha: Annotated[float, typer.Option(help="How far to diffuse, in (0, 1).")] = 0.99,
    tol: Annotated[float, typer.Option(help="Relative residual to stop at.")] = 1e-6,
    max_iter: Annotated[int, typer.Option(help="Iterations of conjugate gradients.")] = 20,
    truncate: Annotated[
        int | None, typer.Option(help="Diffuse among so many nearest vertices only.")
    ] = None,
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Solve for every vertex now (offline-diffusion)."),
    ] = False,
    offline: Annotated[
        str | None, typer.Option(help="Combine solutions from --prepare, solve nothing.")
    ] = None,
    transductive: Annotated[
        bool, typer.Option("--transductive", help="Let the queries enter the graph.")
    ] = False,
    top: Annotated[int | None, typer.Option(help="Entries per query; default: all.")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rank the database by diffusion on its graph (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages import diffuse as stage
        from rrtool.stages import diffuse_prepare

        if prepare:
            if queries or seeds or offline or transductive or kq or top:
                raise UsageError("--prepare knows no queries", expected="--graph and --database")
            prepared = diffuse_prepare.run(
                graph,
                database,
                output,
                diffuse_prepare.PrepareOptions(truncate or 1000, alpha, tol, max_iter),
                overwrite=overwrite,
                progress=console,
            )
            _finish(prepared, json)
            return
        if queries is None:
            raise UsageError("no queries", expected="--queries, or --prepare")
        path = stage.run(
            graph,
            queries,
            database,
            output,
            stage.DiffuseOptions(
                kq, verified, alpha, tol, max_iter, truncate, transductive, top, device
            ),
            seeds=seeds,
            offline=offline,
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


@app.command()
def rerank(
    ranking: Annotated[str, typer.Argument(help="The initial ranking, from search.")],
    output: Output,
    query_local: Annotated[str, typer.Option(help="Local features of the queries.")],
    database_local: Annotated[str, typer.Option(help="Local features of the database.")],
    shortlist: Annotated[int, typer.Option(help="Entries per query to verify.")] = 100,
    score: Annotated[
        str, typer.Option(help="fused (similarity and matches) or inliers (the thesis's).")
    ] = "fused",
    inlier_threshold: Annotated[
        float, typer.Option(help="Largest transfer error, in cells of the activation map.")
    ] = 2.0,
    max_scale_change: Annotated[float, typer.Option(help="Of the transform.")] = 3.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Verify the head of each ranking spatially and re-order it (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import rerank as stage

        path = stage.run(
            path_argument(ranking),
            output,
            stage.RerankOptions(shortlist, score, inlier_threshold, max_scale_change, device),
            query_local=query_local,
            database_local=database_local,
            overwrite=overwrite,
            progress=console,
        )
        _finish(path, json)


MapsOf = Annotated[
    str | None, typer.Option(help="Activation maps of these images, in place of a network.")
]
Sigma = Annotated[float, typer.Option(help="Scale of the samples of EGM.")]
Overlap = Annotated[float, typer.Option(help="Threshold of EGM's purge, in (0, 1).")]
GemExponent = Annotated[float, typer.Option(help="Exponent of GeM.")]


@saliency_app.command("fs")
def saliency_fs(
    images: Images,
    output: Output,
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: MapsOf = None,
    features: Annotated[
        Path | None, typer.Option(help="Write the FS.EGM descriptors of the images here.")
    ] = None,
    keep_maps: Annotated[
        bool, typer.Option("--keep-maps", help="Store the saliency maps too.")
    ] = False,
    rho: Annotated[float, typer.Option(help="Power of the map before detection.")] = 7.0,
    sigma: Sigma = 2.5,
    overlap: Overlap = 0.55,
    gem_exponent: GemExponent = 3.0,
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    gallery: Gallery = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find and describe the regions of feature saliency (regions)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages import saliency_fs as stage
        from rrtool.stages.network_run import NetworkOptions

        if maps is None and (network is None or weights is None):
            raise UsageError("no activations", expected="--network and --weights, or --maps")
        inference = NetworkOptions(
            network or "", weights or "", upsample, _scales(scales), max_size, max_pixels, seed,
            device, workers, batch_size,
        )  # fmt: skip
        path = stage.run(
            images,
            output,
            inference,
            stage.RegionOptions(rho, sigma, overlap, gem_exponent),
            features_output=features,
            maps=maps,
            gallery=gallery,
            keep_maps=keep_maps,
            overwrite=overwrite,
            progress=console,
        )
        _say_skipped(console, path)
        _finish(path, json)


@saliency_app.command("os")
def saliency_os(
    images: Images,
    output: Output,
    regions: Annotated[str, typer.Option(help="Regions of the collection, from saliency fs.")],
    centrality: Annotated[str, typer.Option(help="Their centrality.")],
    features: Annotated[Path, typer.Option(help="Write the OS.EGM descriptors here.")],
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: MapsOf = None,
    whitening: Annotated[
        str | None, typer.Option(help="What the regions were whitened with, if they were.")
    ] = None,
    center: Annotated[
        str | None, typer.Option(help="What they were centred on, if they were.")
    ] = None,
    theta: Annotated[float, typer.Option(help="Power of feature saliency.")] = 3.0,
    patch: Annotated[
        int | None, typer.Option(help="Side in cells; default: a third of the shorter side.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Regions that a patch is compared with.")] = 50,
    gamma: Annotated[float, typer.Option(help="Exponent of their similarity.")] = 3.0,
    rho: Annotated[float, typer.Option(help="Power of the map before detection.")] = 2.0,
    sigma: Sigma = 2.5,
    overlap: Overlap = 0.55,
    gem_exponent: GemExponent = 3.0,
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    gallery: Gallery = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Map what repeats in a collection, and describe its images by that (saliency, features)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages import saliency_os as stage
        from rrtool.stages.network_run import NetworkOptions
        from rrtool.stages.saliency_fs import RegionOptions

        if maps is None and (network is None or weights is None):
            raise UsageError("no activations", expected="--network and --weights, or --maps")
        inference = NetworkOptions(
            network or "", weights or "", upsample, _scales(scales), max_size, max_pixels, seed,
            device, workers, batch_size,
        )  # fmt: skip
        path = stage.run(
            images,
            output,
            inference,
            stage.ObjectSaliencyOptions(
                RegionOptions(rho, sigma, overlap, gem_exponent), theta, patch, k, gamma
            ),
            regions=regions,
            centrality=centrality,
            features_output=features,
            whitening=whitening,
            center=center,
            maps=maps,
            gallery=gallery,
            overwrite=overwrite,
            progress=console,
        )
        _say_skipped(console, path)
        _finish(path, json)


@app.command()
def evaluate(
    rankings: Annotated[
        list[str], typer.Argument(help="One or more rankings; with --boxes, saliency or regions.")
    ],
    ground_truth: Annotated[
        str | None,
        typer.Option(
            help="prefix:REGEX, folder, a CSV name,label, a revisited .pkl, or an Oxford5k folder."
        ),
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="True boxes of the objects, as for extract.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="groups, revisited or oxford5k; default: by ground truth.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Artifact for the scores of every query.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score rankings by a protocol, or saliency by true boxes, side by side (evaluation)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages import evaluate as stage
        from rrtool.tables import print_rows, print_scores

        if (ground_truth is None) == (boxes is None):
            raise UsageError("say what to score by", expected="--ground-truth or --boxes")
        if boxes is not None:
            from rrtool.stages import evaluate_saliency

            scores = evaluate_saliency.run(
                [path_argument(path) for path in rankings],
                output,
                boxes=boxes,
                overwrite=overwrite,
                progress=console,
            )
            rows = [score.summary() for score in scores]
            emit_json(rows) if json else print_rows(rows)
            return
        evaluated = stage.run(
            [path_argument(ranking) for ranking in rankings],
            output,
            ground_truth=str(ground_truth),
            protocol=protocol,
            overwrite=overwrite,
            progress=console,
        )
        if json:
            emit_json(stage.summarize(evaluated))
        else:
            print_scores(stage.summarize(evaluated))


@app.command()
def inspect(
    artifact: Annotated[str, typer.Argument(help="Any artifact.")],
    verify: Annotated[bool, typer.Option("--verify", help="Check the content's digest.")] = False,
    json: Json = False,
) -> None:
    """Tell what an artifact is and where it comes from."""
    with reported():
        from rrtool.stages import inspect as stage
        from rrtool.tables import print_facts

        facts = stage.run(path_argument(artifact), verify=verify)
        if json:
            emit_json(facts)
        else:
            print_facts(facts)


@app.command()
def report(
    ranking: Annotated[str, typer.Argument(help="A ranking, best from rerank.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")],
    images: Annotated[str, typer.Option(help="The images of the database, as for extract.")],
    query_images: Annotated[
        str | None, typer.Option(help="Those of the queries; default: the same.")
    ] = None,
    query_local: Annotated[
        str | None, typer.Option(help="Local features of the queries, to draw matches.")
    ] = None,
    database_local: Annotated[
        str | None, typer.Option(help="Local features of the database, to draw matches.")
    ] = None,
    ground_truth: Annotated[
        str | None, typer.Option(help="Marks right and wrong; as for evaluate.")
    ] = None,
    max_queries: Annotated[int, typer.Option(help="Queries on the page.")] = 50,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show rankings and matches as one HTML page."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import report as stage

        path = stage.run(
            path_argument(ranking),
            output,
            images=images,
            query_images=query_images,
            query_local=query_local,
            database_local=database_local,
            ground_truth=ground_truth,
            max_queries=max_queries,
            overwrite=overwrite,
            progress=console,
        )
        emit_path(path, False, dict)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("demo"),
    network: NetworkName = "squeezenet1_1",
    weights: Annotated[
        str, typer.Option(help="As for extract; 'auto' = imagenet if it can be had, else none.")
    ] = "auto",
    short: Annotated[bool, typer.Option("--short", help="Fewer and smaller scenes.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make scenes with planted objects, run the main job on them, and show the result."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import demo as stage
        from rrtool.stages.evaluate import summarize
        from rrtool.tables import print_scores

        evaluated, page = stage.run(
            folder, network=network, weights=weights, seed=seed, short=short, progress=console
        )
        print_scores(summarize(evaluated))
        emit_path(page, False, dict)


def main() -> None:
    """Entry point of the ``rrtool`` command."""
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        raise SystemExit(EXIT_INTERRUPTED) from None
