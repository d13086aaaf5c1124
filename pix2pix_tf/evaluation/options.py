"""The options of ``pix2pix evaluate`` and of `pix2pix_tf.evaluation.evaluator.evaluate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.names import full_name, looks_like_path
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import preset
from pix2pix_tf.validation import COMMON

if TYPE_CHECKING:
    from pix2pix_tf.runs import OpenedRun


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Measures and compares models; writes metrics.json and report.html.

    Examples:
      pix2pix evaluate runs/facades
      pix2pix evaluate runs/facades@best runs/facades@4000 --out evaluations/facades
    """

    models: Positional[tuple[str, ...]]
    """Run directories, checkpoints (RUN@4000, RUN@best), exported models, URLs of served models, or folders
    of outputs from any program, with the same names as the inputs."""
    dataset: Annotated[str | None, COMMON] = None
    """The pairs to evaluate on: a data set's name or a folder. Default: the data set of the first run."""
    out: Annotated[Path, COMMON] = Path("evaluation")
    """Output folder of metrics.json and report.html."""
    split: Annotated[Literal["train", "val", "test", "all"] | None, COMMON] = None
    """The split to evaluate on. Default: the held-out pairs. 'all' is for folders without training pairs."""
    val_share: float | None = None
    """Share of a folder's pairs to hold out, if its subfolders don't define splits; as in training."""
    test_share: float | None = None
    """Share of a folder's pairs to hold out for --split test."""
    direction: Annotated[configs.Direction | None, COMMON] = None
    """Translation direction; also selects a generator of a run. Default: the first run's value."""
    image_size: Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="H [W]"), COMMON] = None
    """Height and width to compare at. Default: the largest training size of the runs."""
    data_dir: Path | None = None
    """Folder of the named data sets. Default: the first run's value."""
    archive: Path | None = None
    """Local copy of the data set's .tar.gz, used instead of a download."""
    layout: configs.Layout | None = None
    """How a folder stores pairs, as in training. Default: the first run's value."""
    label_maps: Annotated[Literal["auto", "none", "A", "B", "both"], COMMON] = "auto"
    """Sides that are label maps, for the segmentation score; 'auto' uses the first run's value or the data
    set's declaration."""
    skip_bad_images: bool = False
    """Skip unreadable images instead of stopping. Also enabled if the first run was trained with it."""
    ignore: float | None = None
    """Value that marks missing pixels in measurements and gray images. Default: the first run's value."""
    task: Annotated[configs.TaskName | None, COMMON] = None
    """Task that makes pairs from plain photos. Default: the first run's value."""
    upscale_factor: Literal[2, 4] | None = None
    """Scale factor of the task 'upscale'. Default: the first run's value."""
    segmentation: bool = True
    """Classify outputs with a segmentation network if a side is a label map. The network is trained once."""
    inception_weights: Path | None = None
    """Weights of InceptionV3 without its top, for FID and KID. Default: the file in Keras' cache."""
    answers: tuple[Path, ...] = ()
    """Answer files saved by the 'real or fake?' game of a report; the new report includes them."""
    raw_weights: Annotated[bool, COMMON] = False
    """Evaluate a run's raw weights instead of their moving average."""

    def configs(self, runs: Sequence[OpenedRun]) -> tuple[TrainConfig, TrainConfig]:
        """Returns the config of the data set to evaluate on, and the config before options are applied.

        ``runs`` are those of the models that are runs. Both configs include ``direction``, which also selects
        a run's generator.
        """
        from pix2pix_tf.data.tasks import TASKS
        from pix2pix_tf.formats import find_model

        if runs:
            run_config = runs[0].config
            defaults = configs.replace(run_config, dataset=self.dataset or run_config.data.dataset)
            # A folder may have moved and keeps the run's settings. Another named data set has its own.
            are_folders = all(map(looks_like_path, (defaults.data.dataset, run_config.data.dataset)))
            if not are_folders and full_name(defaults.data.dataset) != run_config.data.dataset:
                defaults = preset(defaults.data.dataset)
            names = ("task", "fit", *TASKS[run_config.data.task].settings)
            inherited = {name: getattr(run_config.data, name) for name in names}
            have_alpha = [run.config.data.output_alpha for run in runs]
            if defaults.data.output_alpha and not (all(have_alpha) and len(runs) == len(self.models)):
                # Other models may have no alpha, so all are compared over white.
                inherited |= {"output_channels": None, "output_alpha": False}
            if runs[0].records_direction:
                inherited["direction"] = run_config.data.direction
            defaults = configs.replace(defaults, **inherited)
        elif self.dataset is not None:
            defaults = preset(self.dataset)
        else:
            for model in self.models:
                if not Path(model).expanduser().is_dir():  # a folder may hold outputs
                    find_model(model)  # raises if there is none
            raise ConfigError("--dataset is missing: only runs record their data set; name the pairs")
        if self.direction is not None:
            defaults = configs.replace(defaults, direction=self.direction)
        options = ("val_share", "test_share", "image_size", "data_dir", "archive", "layout", "ignore")
        given = {name: getattr(self, name) for name in (*options, "task", "upscale_factor")}
        given["label_maps"] = None if self.label_maps == "auto" else self.label_maps
        given["skip_bad_images"] = self.skip_bad_images or None
        given = {name: value for name, value in given.items() if value is not None}
        config = configs.replace(defaults, **given)
        refuse_unread(config, defaults)
        return config, defaults
