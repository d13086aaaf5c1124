"""The options of ``pix2pix evaluate`` and of `pix2pix_tf.evaluation.evaluator.evaluate`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.names import full_name, looks_like_path
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import preset


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Measures outputs with intervals and shows them side by side: metrics.json, report.html."""

    models: Positional[tuple[str, ...]]
    """Each a run directory or one of its checkpoints (RUN@4000, RUN@best), an exported model, the URL of a
    served one, or a folder of outputs of any program, which have the names of the inputs."""
    dataset: str | None = None
    """The pairs to evaluate on: a name or the path of a folder; by default those of the first run."""
    out: Path = Path("evaluation")
    """The folder that metrics.json and report.html are written to."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Which part of the data set; what is held out by default. 'all' is for folders that are all held out."""
    val_share: float | None = None
    """Share of a folder that is held out to evaluate on, where its subfolders don't say; as in training."""
    test_share: float | None = None
    """Share that is held out for --split test."""
    direction: configs.Direction | None = None
    """Which side of the pairs is the input, and which of a run's generators; by default as the first run."""
    image_size: tuple[int, ...] | None = None
    """Height and width to compare at; by default the largest that the runs were trained at."""
    data_dir: Path | None = None
    """Where data sets are stored, if not where the run had them."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    layout: configs.Layout | None = None
    """How a folder holds pairs, as in training; by default as the first run."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps, for the segmentation score; 'auto' asks the data set."""
    skip_bad_images: bool = False
    """Leave out images that can't be read instead of stopping; the runs' own setting counts, too."""
    ignore: float | None = None
    """Number of pixels without a value, in measurements and gray images; by default as the first run."""
    task: configs.TaskName | None = None
    """What makes pairs of plain photos to evaluate on; by default as the first run."""
    upscale_factor: Literal[2, 4] | None = None
    """How many times larger 'upscale' makes photos; by default as the first run."""
    segmentation: bool = True
    """Classify outputs with a segmentation network, where a side is a label map; it is trained once."""
    inception_weights: Path | None = None
    """InceptionV3's weights without its top, for FID and KID; by default those in Keras' cache."""
    answers: tuple[Path, ...] = ()
    """Files that a report's 'real or fake?' saved; the new report includes them."""
    raw_weights: bool = False
    """Of runs, evaluate the weights of the step itself, not their moving average."""

    def configs(self) -> tuple[TrainConfig, TrainConfig]:
        """Returns the config of the data set to evaluate on, that of the first run or of what is named.

        And what it would be without the options but ``direction``, which also selects a run's generator.
        """
        from pix2pix_tf.formats import refuse_missing
        from pix2pix_tf.runs import find_run

        runs = [run for run in map(find_run, self.models) if run is not None]
        if runs:
            of_run = runs[0].config
            usual = configs.replace(of_run, dataset=self.dataset or of_run.data.dataset)
            # The run's pairs may be elsewhere now; another data set has its own settings.
            are_folders = all(map(looks_like_path, (usual.data.dataset, of_run.data.dataset)))
            if not are_folders and full_name(usual.data.dataset) != of_run.data.dataset:
                usual = preset(usual.data.dataset)
            inherited = {name: getattr(of_run.data, name) for name in ("task", "upscale_factor", "fit")}
            if runs[0].directory.imported() != {"direction": None}:
                inherited["direction"] = of_run.data.direction
            usual = configs.replace(usual, **inherited)
        elif self.dataset is not None:
            usual = preset(self.dataset)
        else:
            for model in self.models:
                if not Path(model).expanduser().is_dir():  # which may hold outputs
                    refuse_missing(model)
            raise ConfigError("--dataset is missing: only a run knows which pairs it was made for")
        if self.direction is not None:
            usual = configs.replace(usual, direction=self.direction)
        names = ("val_share", "test_share", "image_size", "data_dir", "archive", "layout", "task", "ignore")
        given = {name: getattr(self, name) for name in (*names, "upscale_factor")}
        given["label_maps"] = None if self.label_maps == "auto" else self.label_maps
        given["skip_bad_images"] = self.skip_bad_images or None
        given = {name: value for name, value in given.items() if value is not None}
        config = configs.replace(usual, **given)
        refuse_unread(config, usual)
        return config, usual
