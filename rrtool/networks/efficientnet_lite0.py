"""EfficientNet-Lite0, layer by layer and name by name as timm's ``tf_efficientnet_lite0``.

Importing timm takes as long as importing torch, for every command that runs the default network;
tests hold the two equal to the last bit.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_EPS = 1e-3  # TensorFlow's
_N_CLASSES = 1000
# Of each stage: blocks, side of the kernel, stride, factor of the channels within, channels.
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip


class EfficientNetLite0(nn.Module):
    """Images ``(b, 3, H, W)`` → logits ``(b, 1000)``.

    Args:
        output_stride: pixels a position of the last map, 32 or 16: the last stride becomes a
            dilation.
    """

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.conv_stem = _conv(3, 32, 3, stride=2)
        self.bn1 = _Norm(32)
        self.blocks = nn.Sequential(*_stages(output_stride))
        self.conv_head = _conv(320, 1280, 1)
        self.bn2 = _Norm(1280)
        self.classifier = nn.Linear(1280, _N_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.blocks(self.bn1(self.conv_stem(images)))
        return self.classifier(self.bn2(self.conv_head(maps)).mean(dim=(2, 3)))


def _stages(output_stride: int) -> list[nn.Sequential]:
    stages, n_in, reached, dilation = [], 32, 2, 1
    for n_blocks, side, first_stride, factor, n_out in _STAGES:
        blocks: list[nn.Module] = []
        for number in range(n_blocks):
            stride, before = (first_stride if number == 0 else 1), dilation
            if reached * stride > output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            conv = {"side": side, "stride": stride, "dilation": before}
            blocks.append(_Separable(n_in, n_out, **conv) if factor == 1 else
                          _Inverted(n_in, n_out, factor * n_in, **conv))  # fmt: skip
            n_in = n_out
        stages.append(nn.Sequential(*blocks))
    return stages


class _Separable(nn.Module):
    """A convolution a channel, then one of all channels."""

    def __init__(self, n_in: int, n_out: int, side: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv_dw = _conv(n_in, n_in, side, stride, dilation, groups=n_in)
        self.bn1 = _Norm(n_in)
        self.conv_pw = _conv(n_in, n_out, 1)
        self.bn2 = _Norm(n_out, is_active=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(maps))))


class _Inverted(nn.Module):
    """More channels, a convolution of each, fewer channels; added to the input where it fits."""

    def __init__(
        self, n_in: int, n_out: int, n_within: int, *, side: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        self.conv_pw = _conv(n_in, n_within, 1)
        self.bn1 = _Norm(n_within)
        self.conv_dw = _conv(n_within, n_within, side, stride, dilation, groups=n_within)
        self.bn2 = _Norm(n_within)
        self.conv_pwl = _conv(n_within, n_out, 1)
        self.bn3 = _Norm(n_out, is_active=False)
        self.is_residual = n_in == n_out and stride == 1

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        within = self.bn2(self.conv_dw(self.bn1(self.conv_pw(maps))))
        found = self.bn3(self.conv_pwl(within))
        return found + maps if self.is_residual else found


class _Norm(nn.BatchNorm2d):
    """Normalisation, and ReLU6 after it."""

    def __init__(self, n_channels: int, *, is_active: bool = True) -> None:
        super().__init__(n_channels, eps=_EPS)
        self.act = nn.ReLU6(inplace=True) if is_active else nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.act(super().forward(maps))


def _conv(
    n_in: int, n_out: int, side: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Without a bias; its map is as large as the image, divided by the stride and rounded up."""
    if stride > 1:
        return _SamePadded(n_in, n_out, side, stride, dilation=dilation, groups=groups, bias=False)
    padding = dilation * (side - 1) // 2
    return nn.Conv2d(
        n_in, n_out, side, padding=padding, dilation=dilation, groups=groups, bias=False
    )


class _SamePadded(nn.Conv2d):
    """A convolution with a stride that pads as TensorFlow does: less before than after."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        padding = []
        for axis in (1, 0):
            size, stride = images.shape[2 + axis], self.stride[axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            missing = max(((size + stride - 1) // stride - 1) * stride + reach - size, 0)
            padding += [missing // 2, missing - missing // 2]
        padded = functional.pad(images, padding)
        return functional.conv2d(
            padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )
