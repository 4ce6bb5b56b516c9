"""A network over photos of which one is odd: that one fails alone."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from rrtool.images.collection import collect
from rrtool.networks import Network, load_network
from rrtool.stages.activations.kept import SampledSource
from rrtool.stages.activations.options import NetworkOptions
from rrtool.stages.activations.sources import ActivationBatch, NetworkSource, activation_maps
from tests.tiny import CPU, assert_done, extract, make_pictures, picture, rrtool, skipped_rows


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("squeezenet1_1", "none", upsample=False, seed=0, device="cpu")


class _Choosy(torch.nn.Module):
    """Fails for a batch with a black image in it."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if (images.amax(dim=(1, 2, 3)) < -1).any():
            raise RuntimeError("a black image\nand more lines")
        return self.backbone(images)


def test_activation_maps_normalise_each_channel(network: Network) -> None:
    pixels = torch.randint(0, 256, (2, 40, 33, 3), dtype=torch.uint8)
    seen = Network(**{**vars(network), "backbone": torch.nn.Identity()})
    (found,) = activation_maps(seen, pixels, [1.0])
    for channel, (mean, std) in enumerate(zip(network.mean, network.std, strict=True)):
        expected = (pixels[..., channel].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, channel].double(), expected, rtol=1e-5, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_photo_that_a_network_fails_on_fails_alone(tmp_path: Path, network: Network) -> None:
    folder = make_pictures(tmp_path / "photos", 4)
    picture(0).point(lambda value: 0).save(folder / "001.png")
    options = NetworkOptions(
        images=str(folder), network="squeezenet1_1", weights="none", scales=(1.0,), batch_size=4
    )
    choosy = Network(**{**vars(network), "backbone": _Choosy(network.backbone)})
    source = NetworkSource(choosy, collect(str(folder)), options, "cpu")
    batches = {row: batch for batch in source.batches([(0, range(4))]) for row in batch.rows}
    assert sorted(batches) == [0, 1, 2, 3]
    assert batches[1].failure == "the network failed: a black image"
    assert all(batches[row].failure is None for row in (0, 2, 3))


def test_photo_too_small_at_every_scale_fails_alone(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "photos", 1)
    picture(1, (30, 40)).save(folder / "small.png")
    options = ("--network", "squeezenet1_1", "--weights", "none", *CPU, "--scales", "0.5,0.3")
    result = rrtool("extract", folder, "-o", tmp_path / "f.h5", *options)
    assert_done(result, 3)
    why = "30×40 pixels × 0.5 are too few for the network (17)"
    assert skipped_rows(tmp_path / "f.h5") == {"small.png": why}


def test_boxes_out_of_their_photos_are_said(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "photos", 2)
    rows = [("000", 5, 5, 60, 60), ("000", 20, 10, 99, 64), ("001", 80, 5, 120, 60)]
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "x0", "y0", "x1", "y1"), *rows])
    result = extract(folder, tmp_path / "f.h5", "--boxes", tmp_path / "boxes.csv")
    assert_done(result, 3)
    said = "1 boxes reach out of their photos and are cut, e.g. 000.png: (20.0, 10.0, 99.0, 64.0)"
    assert f"{said} in 72×64 pixels" in result.stderr
    why = "the box (80.0, 5.0, 120.0, 60.0) lies outside the image of 72×64 pixels"
    assert skipped_rows(tmp_path / "f.h5") == {"001.png": why}


class _Drawn:
    """A source of random sparse maps, in batches of two rows of a part; row 3 fails."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        for part, rows in parts:
            self.asked += rows
            good = [row for row in rows if row != 3]
            for pair in (good[at : at + 2] for at in range(0, len(good), 2)):
                maps = torch.cat([_drawn(row) for row in pair])
                if part % 2 == 0:  # as networks give them
                    maps = maps.contiguous(memory_format=torch.channels_last)
                sizes, boxes = np.full((len(pair), 2), 9), np.zeros((len(pair), 4))
                empty = torch.zeros(len(pair), 5, 0, 0)
                yield ActivationBatch(part, pair, sizes, boxes, [maps, empty])
            if 3 in rows:
                yield ActivationBatch.failed(part, 3, "no picture")


def _drawn(row: int) -> torch.Tensor:
    maps = torch.from_numpy(np.random.default_rng(row).standard_normal((1, 5, 3, 4), np.float32))
    return maps.clamp_min(0)


def _by_row(batches: Iterable[ActivationBatch]) -> dict[int, tuple[int, str | None, object]]:
    return {
        row: (batch.part, batch.failure, [scale[i].tolist() for scale in batch.maps])
        for batch in batches
        for i, row in enumerate(batch.rows)
    }


@pytest.mark.parametrize("limit", [0, 300, 1 << 20])
@pytest.mark.parametrize("sample", [range(0, 10, 3), range(10), range(4, 6)])
def test_sampled_rows_come_once_with_the_same_maps(sample: range, limit: int) -> None:
    parts = [(0, range(4)), (1, range(4, 8)), (2, range(8, 10))]
    plain = list(_Drawn().batches(parts))
    drawn = _Drawn()
    source = SampledSource(drawn, limit)
    assert sorted(row for batch in source.sample(sample) for row in batch.rows) == list(sample)
    drawn.asked.clear()
    batches = list(source.batches(parts))
    assert _by_row(batches) == _by_row(plain)
    assert [batch.part for batch in batches] == sorted(batch.part for batch in batches)
    assert sum(len(batch.rows) for batch in batches) == 10
    again = set(drawn.asked) & set(sample)
    if limit == 1 << 20:
        assert not again
        assert drawn.asked == [row for row in range(10) if row not in sample]
    elif limit == 0:
        assert again == set(sample)


def test_kept_maps_are_in_the_same_order_in_memory() -> None:
    source = SampledSource(_Drawn())
    (sampled,) = source.sample([0, 1])
    for batch in source.batches([(0, range(2))]):
        (row,) = batch.rows
        for found, wanted in zip(batch.maps, sampled.maps, strict=True):
            assert found.stride() == wanted[row : row + 1].stride() or not found.numel()


def test_finished_parts_do_not_change_the_batches_of_others() -> None:
    parts = [(0, range(4)), (1, range(4, 8)), (2, range(8, 10))]
    composed = []
    for missing in (parts, parts[1:], parts[2:]):
        source = SampledSource(_Drawn(), limit=300)
        list(source.sample(range(10)))
        composed.append([batch.rows for batch in source.batches(missing) if batch.part == 2])
    assert composed[0] == composed[1] == composed[2]
