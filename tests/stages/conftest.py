"""What tests of several rooms share."""

import pytest

from rrtool.stages.activations.sources import NetworkSource


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images in each batch that goes through the network."""
    counts: list[int] = []
    run = NetworkSource._maps

    def counted(source: NetworkSource, images: list) -> list:
        counts.append(len(images))
        return run(source, images)

    monkeypatch.setattr(NetworkSource, "_maps", counted)
    return counts
