"""The training steps that others would write, for ``train_step.py`` to compare with."""

from __future__ import annotations

from collections.abc import Callable


def textbook_step(batch_size: int, size: int) -> Callable[[], object]:
    """Returns the step as textbooks have it: float32, two tapes, batch normalisation, stock Keras Adam."""
    import keras
    import tensorflow as tf
    from keras import layers

    normal = keras.initializers.RandomNormal(0.0, 0.02)

    def down(x, filters, norm=True):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=not norm, kernel_initializer=normal)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x) if norm else x
        return layers.LeakyReLU(0.2)(x)

    def up(x, filters, dropout):
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=normal)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
        x = layers.Dropout(0.5)(x) if dropout else x
        return layers.ReLU()(x)

    x = image = layers.Input((size, size, 3))
    skips = []
    for level, filters in enumerate((64, 128, 256, 512, 512, 512, 512, 512)):
        x = down(x, filters, norm=level not in (0, 7))
        skips.append(x)
    for level, filters in enumerate((512, 512, 512, 512, 256, 128, 64)):
        x = layers.Concatenate()([up(x, filters, dropout=level < 3), skips[6 - level]])
    x = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=normal, activation="tanh")(x)
    generator = keras.Model(image, x)

    image, target = layers.Input((size, size, 3)), layers.Input((size, size, 3))
    x = down(down(down(layers.Concatenate()([image, target]), 64, norm=False), 128), 256)
    x = layers.Conv2D(512, 4, use_bias=False, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    x = layers.Conv2D(1, 4, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
    discriminator = keras.Model([image, target], x)

    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)

    def cross_entropy(label, logits):
        return tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(logits), label), logits)
        )

    @tf.function
    def step(image, target):
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fake = generator(image, training=True)
            on_real = discriminator([image, target], training=True)
            on_fake = discriminator([image, fake], training=True)
            loss = cross_entropy(1.0, on_fake) + 100.0 * tf.reduce_mean(tf.abs(target - fake))
            disc_loss = 0.5 * (cross_entropy(1.0, on_real) + cross_entropy(0.0, on_fake))
        gradients = generator_tape.gradient(loss, generator.trainable_variables)
        optimizers[0].apply(gradients, generator.trainable_variables)
        gradients = discriminator_tape.gradient(disc_loss, discriminator.trainable_variables)
        optimizers[1].apply(gradients, discriminator.trainable_variables)
        return loss

    shape = (batch_size, size, size, 3)
    image, target = (tf.random.stateless_uniform(shape, (seed, 0), -1, 1) for seed in (1, 2))
    return lambda: step(image, target).numpy()


def textbook_cyclegan_step(batch_size: int, size: int) -> Callable[[], object]:
    """Returns CycleGAN's step as textbooks have it: float32, one tape, stock layers and Adam, no pool."""
    import keras
    import tensorflow as tf
    from keras import layers

    normal = keras.initializers.RandomNormal(0.0, 0.02)

    def normalized(x, activation=None):
        x = layers.GroupNormalization(groups=-1, epsilon=1e-5)(x)
        return x if activation is None else activation(x)

    def reflected(x, by):
        return layers.Lambda(lambda x: tf.pad(x, [[0, 0], [by, by], [by, by], [0, 0]], "REFLECT"))(x)

    def generator():
        def convolution(x, filters, kernel, strides=1, padding="valid"):
            return layers.Conv2D(
                filters, kernel, strides, padding, use_bias=False, kernel_initializer=normal
            )(x)

        x = image = layers.Input((size, size, 3))
        x = normalized(convolution(reflected(x, 3), 64, 7), layers.ReLU())
        for filters in (128, 256):
            x = normalized(convolution(x, filters, 3, 2, "same"), layers.ReLU())
        for _ in range(9):
            y = normalized(convolution(reflected(x, 1), 256, 3), layers.ReLU())
            x = layers.Add()([x, normalized(convolution(reflected(y, 1), 256, 3))])
        for filters in (128, 64):
            x = layers.Conv2DTranspose(filters, 3, 2, "same", use_bias=False, kernel_initializer=normal)(x)
            x = normalized(x, layers.ReLU())
        x = layers.Conv2D(3, 7, kernel_initializer=normal, activation="tanh")(reflected(x, 3))
        return keras.Model(image, x)

    def discriminator():
        x = image = layers.Input((size, size, 3))
        for number, filters in enumerate((64, 128, 256)):
            x = layers.Conv2D(filters, 4, 2, "same", kernel_initializer=normal)(x)
            x = layers.LeakyReLU(0.2)(normalized(x) if number else x)
        x = layers.Conv2D(512, 4, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
        x = layers.LeakyReLU(0.2)(normalized(x))
        x = layers.Conv2D(1, 4, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
        return keras.Model(image, x)

    to_b, to_a, judge_a, judge_b = networks = generator(), generator(), discriminator(), discriminator()
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in networks]
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)

    def squared(logits, goal):
        return tf.reduce_mean(tf.square(logits - goal))

    def distance(one, other):
        return tf.reduce_mean(tf.abs(one - other))

    @tf.function
    def step(a, b):
        with tf.GradientTape(persistent=True) as tape:
            fake_b, fake_a = to_b(a, training=True), to_a(b, training=True)
            cycle = distance(to_a(fake_b, training=True), a) + distance(to_b(fake_a, training=True), b)
            same = distance(to_a(a, training=True), a) + distance(to_b(b, training=True), b)
            on_fake_a, on_fake_b = judge_a(fake_a, training=True), judge_b(fake_b, training=True)
            loss_b = squared(on_fake_b, 1.0) + 10.0 * cycle + 5.0 * same
            loss_a = squared(on_fake_a, 1.0) + 10.0 * cycle + 5.0 * same
            disc_a = 0.5 * (squared(judge_a(a, training=True), 1.0) + squared(on_fake_a, 0.0))
            disc_b = 0.5 * (squared(judge_b(b, training=True), 1.0) + squared(on_fake_b, 0.0))
        losses = (loss_b, loss_a, disc_a, disc_b)
        for optimizer, network, loss in zip(optimizers, networks, losses, strict=True):
            optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss_a

    shape = (batch_size, size, size, 3)
    a, b = (tf.random.stateless_uniform(shape, (seed, 0), -1, 1) for seed in (1, 2))
    return lambda: step(a, b).numpy()


def torch_step(batch_size: int, size: int, fast: bool) -> Callable[[], object]:
    """Returns the step in PyTorch: D's update first, then G's; ``fast`` adds channels_last and bfloat16."""
    import torch
    from torch import nn
    from torch.nn import functional

    widths = (64, 128, 256, 512, 512, 512, 512, 512)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            outer = zip((3, *widths), widths, strict=False)
            self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in outer)
            inner = [(512, 512)] + [(2 * i, o) for i, o in zip(widths[-2:0:-1], widths[-3::-1], strict=False)]
            self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in [*inner, (128, 3)])
            self.down_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:-1])
            self.up_norm = nn.ModuleList(nn.BatchNorm2d(o) for _, o in inner)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for level, convolution in enumerate(self.down):
                x = convolution(x)
                if 0 < level < len(widths) - 1:
                    x = self.down_norm[level - 1](x)
                x = functional.leaky_relu(x, 0.2)
                skips.append(x)
            skips.pop()
            for level, norm in enumerate(self.up_norm):
                x = norm(self.up[level](x))
                x = functional.dropout(x, 0.5, self.training) if level < 3 else x
                x = torch.cat((functional.relu(x), skips.pop()), 1)
            return torch.tanh(self.up[-1](x))

    def block(i: int, o: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 4, stride, 1), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]

    layout = torch.channels_last if fast else torch.contiguous_format
    generator = Generator().to(memory_format=layout)
    discriminator = nn.Sequential(
        nn.Conv2d(6, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        *block(64, 128, 2),
        *block(128, 256, 2),
        *block(256, 512, 1),
        nn.Conv2d(512, 1, 4, 1, 1),
    ).to(memory_format=layout)
    adams = [
        torch.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (discriminator, generator)
    ]
    image, target = (
        (torch.rand(batch_size, 3, size, size) * 2 - 1).contiguous(memory_format=layout) for _ in range(2)
    )

    def judged(output: torch.Tensor, real: bool) -> torch.Tensor:
        logits = discriminator(torch.cat((image, output), 1)).float()
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def step() -> None:
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=fast)
        with autocast:
            fake = generator(image)
            discriminator.requires_grad_(True)
            discriminator_loss = 0.5 * (judged(fake.detach(), False) + judged(target, True))
        adams[0].zero_grad()
        discriminator_loss.backward()
        adams[0].step()
        with autocast:
            discriminator.requires_grad_(False)
            generator_loss = judged(fake, True) + 100.0 * functional.l1_loss(fake.float(), target)
        adams[1].zero_grad()
        generator_loss.backward()
        adams[1].step()

    return step
