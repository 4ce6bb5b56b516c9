"""The 13-layer convolutional network of the semi-supervised literature (thesis §3.5.1)."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

MIN_IMAGE_SIZE = 16

# Output channels, kernel size and padding of each convolution, block by block.
_BLOCKS = (
    ((128, 3, 1), (128, 3, 1), (128, 3, 1)),
    ((256, 3, 1), (256, 3, 1), (256, 3, 1)),
    ((512, 3, 0), (256, 1, 0), (128, 1, 0)),
)
_LEAK = 0.1


class FeatureClassifier(nn.Module):
    """A body of convolutions, the mean over positions as feature, and a linear classifier."""

    def __init__(self, body: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.classifier = classifier

    @property
    def n_features(self) -> int:
        """Dimension of the feature: 128 at width 1."""
        return self.classifier.in_features

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(b, c, h, w)`` normalised images → logits ``(b, n_classes)``, features ``(b, d)``.

        Features have length 1.
        """
        pooled = self.body(images).mean(dim=(2, 3))
        # Under autocast the body computes in half precision; lengths need float32.
        features = functional.normalize(pooled.float(), dim=1)
        return self.classifier(features), features


class ConvNet13(FeatureClassifier):
    """Nine convolutions in three blocks, then the mean over positions and a linear classifier.

    The network of Laine and Aila as Tarvainen and Valpola's code has it (thesis §3.5.1): weight
    norm, batch norm and LeakyReLU(0.1) with every convolution; 2×2 max-pooling and dropout of 0.5
    after the first two blocks; convolutions with bias. The feature is l2-normalised before the
    classifier, which is plain (no weight norm), as in the code of Iscen et al.

    Args:
        n_input_channels: of the images, which are at least 16 pixels wide and high.
        n_classes: outputs of the classifier.
        width: factor on all channel counts, the feature's too; 1 is the thesis's network.
    """

    def __init__(self, n_input_channels: int, n_classes: int, width: float = 1.0) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        n_channels = n_input_channels
        for number, block in enumerate(_BLOCKS, start=1):
            for letter, (wide, kernel, padding) in zip("abc", block, strict=True):
                n_outputs = max(1, round(wide * width))
                convolution = nn.Conv2d(n_channels, n_outputs, kernel, padding=padding)
                layers[f"conv{number}{letter}"] = weight_norm(convolution)
                layers[f"norm{number}{letter}"] = nn.BatchNorm2d(n_outputs)
                layers[f"leak{number}{letter}"] = nn.LeakyReLU(_LEAK, inplace=True)
                n_channels = n_outputs
            if number < len(_BLOCKS):
                layers[f"pool{number}"] = nn.MaxPool2d(2)
                layers[f"drop{number}"] = nn.Dropout(0.5)
        super().__init__(nn.Sequential(layers), nn.Linear(n_channels, n_classes))


def folded(network: ConvNet13) -> FeatureClassifier:
    """The same function in evaluation mode, faster: weight and batch norm are multiplied out.

    Equal up to rounding. Later training of ``network`` does not change it, but for the
    classifier, which is shared.
    """
    layers: list[nn.Module] = []
    convolution = None
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            convolution = layer
        elif isinstance(layer, nn.BatchNorm2d) and convolution is not None:
            layers.append(_folded_convolution(convolution, layer))
        elif not isinstance(layer, nn.Dropout):
            layers.append(layer)
    # One and a half times as fast on a CPU as with channels first; training does not care.
    body = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    return FeatureClassifier(body, network.classifier).eval()


@torch.no_grad()
def _folded_convolution(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    plain = nn.utils.skip_init(
        nn.Conv2d,
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,
        padding=convolution.padding,
        device=norm.weight.device,
    )
    scale = norm.weight / torch.sqrt(norm.get_buffer("running_var") + norm.eps)
    plain.weight.copy_(convolution.weight * scale[:, None, None, None])
    bias = convolution.get_parameter("bias") - norm.get_buffer("running_mean")
    plain.get_parameter("bias").copy_(bias * scale + norm.bias)
    return plain
