"""The generators of pytorch-CycleGAN-and-pix2pix, written out anew under their modules' names."""

import functools

import torch
from torch import nn

NORMS = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "none": lambda channels: nn.Identity(),
}


class Level(nn.Module):
    """A level of the U-Net, with the one inside; what comes in is passed on beside what comes out."""

    def __init__(self, above, filters, inside, norm, inputs=None, is_outermost=False, dropout=False):
        super().__init__()
        bias, inputs = norm == "instance", inputs or above
        down = nn.Conv2d(inputs, filters, 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(
            filters * (1 if inside is None else 2), above, 4, 2, 1, bias=bias or is_outermost
        )
        if is_outermost:
            parts = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            parts = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, NORMS[norm](above)]
        else:
            before = [nn.LeakyReLU(0.2), down, NORMS[norm](filters)]
            parts = [*before, inside, nn.ReLU(), up, NORMS[norm](above)]
            parts += [nn.Dropout(0.5)] if dropout else []
        self.model, self.is_outermost = nn.Sequential(*parts), is_outermost

    def forward(self, x):
        output = self.model(x)
        return output if self.is_outermost else torch.cat([x, output], 1)


class UNet(nn.Module):
    def __init__(self, levels, filters, norm, inputs=3, outputs=3):
        super().__init__()
        widths = [filters * min(2**level, 8) for level in range(levels)]
        inside = None
        for level in reversed(range(1, levels)):
            inside = Level(widths[level - 1], widths[level], inside, norm, dropout=level in (4, 5, 6))
        self.model = Level(outputs, filters, inside, norm, inputs, is_outermost=True)

    def forward(self, x):
        return self.model(x)


class Residual(nn.Module):
    def __init__(self, filters, norm, dropout, zeros=False):
        super().__init__()
        convolution = functools.partial(
            nn.Conv2d, filters, filters, 3, padding=int(zeros), bias=norm == "instance"
        )
        padding = [] if zeros else [nn.ReflectionPad2d(1)]
        first = [*padding, convolution(), NORMS[norm](filters), nn.ReLU()]
        first += [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(*first, *padding, convolution(), NORMS[norm](filters))

    def forward(self, x):
        return x + self.conv_block(x)


class ResNet(nn.Module):
    def __init__(self, blocks, filters, norm, inputs=3, outputs=3, dropout=True, zeros=False):
        super().__init__()
        bias = norm == "instance"
        parts = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(inputs, filters, 7, bias=bias),
            NORMS[norm](filters),
            nn.ReLU(),
        ]
        for width in (filters, 2 * filters):
            parts += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), NORMS[norm](2 * width), nn.ReLU()]
        parts += [Residual(4 * filters, norm, dropout, zeros) for _ in range(blocks)]
        for width in (4 * filters, 2 * filters):
            upsampling = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1, bias=bias)
            parts += [upsampling, NORMS[norm](width // 2), nn.ReLU()]
        self.model = nn.Sequential(*parts, nn.ReflectionPad2d(3), nn.Conv2d(filters, outputs, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    def __init__(self, filters, inputs=6):
        super().__init__()
        first = [nn.Conv2d(inputs, filters, 4, 2, 1), nn.LeakyReLU(0.2)]
        second = [nn.Conv2d(filters, 2 * filters, 4, 1, 1, bias=False), nn.BatchNorm2d(2 * filters)]
        self.model = nn.Sequential(*first, *second, nn.LeakyReLU(0.2), nn.Conv2d(2 * filters, 1, 4, 1, 1))
