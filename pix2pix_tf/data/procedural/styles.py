"""Architectural styles, and tables of interiors and sky colors."""

from __future__ import annotations

import dataclasses
from typing import Literal

Color = tuple[int, int, int]
Bond = Literal["brick", "ashlar", "plaster"]
Interior = Literal["dark", "drapes", "blind", "lit"]


@dataclasses.dataclass(frozen=True)
class Style:
    """Properties that facades of one style share; a color is picked at random where there are several."""

    bond: Bond  # material of the upper stories
    walls: tuple[Color, ...]
    trim: Color  # of cornices, moldings and pillars
    joinery: Color  # of the window frames
    doors: tuple[Color, ...]
    roof: Literal["parapet", "mansard", "tiles", "gable", "stepped"]
    roofing: Color
    metal: Color  # of the railings
    awning: Color  # of the shops
    story: tuple[int, int]  # range of a story's height, in 1024ths of the image's shorter side
    bay: tuple[int, int]  # range of a bay's width, in the same unit
    window: tuple[int, int]  # width in percent of the bay, height in percent of the story
    shops: int  # percentage of houses with shops
    ground_bond: Bond = "ashlar"  # material of the ground floor
    shutters: tuple[Color, ...] = ()  # empty: no shutters
    rise: int = 0  # height of the arch over windows and door in percent of their width
    panes: tuple[int, int] = (2, 2)  # rows and columns in a window
    surround: bool = False  # windows have a molding
    pediments: bool = False  # windows of the first upper story have a pediment
    pillars: Literal["none", "corners", "all"] = "none"  # which bays have pilasters between them
    balconies: Literal["none", "single", "alternate", "continuous"] = "none"  # which windows have one
    cornices: bool = False  # a string course at every story and not only above the ground floor

    @property
    def gabled(self) -> bool:
        """Whether the wall continues above the eaves."""
        return self.roof in ("gable", "stepped")


STYLES = (
    Style(  # Parisian
        bond="ashlar", roof="mansard", balconies="continuous",
        surround=True, cornices=True,
        story=(165, 195), bay=(190, 245), window=(46, 74), shops=80, panes=(3, 2),
        walls=((222, 205, 174), (214, 198, 170), (228, 213, 186)), trim=(236, 224, 200),
        doors=((38, 74, 62), (46, 58, 86)),
        joinery=(240, 238, 230), roofing=(98, 110, 126), metal=(40, 42, 48), awning=(176, 48, 46),
    ),
    Style(  # canal house
        bond="brick", ground_bond="brick", roof="stepped",
        story=(150, 180), bay=(190, 250), window=(50, 68), shops=35, rise=22, panes=(3, 2),
        walls=((164, 78, 58), (150, 70, 56), (172, 90, 64)), trim=(228, 218, 198),
        doors=((30, 84, 64), (26, 66, 82)),
        joinery=(244, 242, 236), roofing=(120, 66, 54), metal=(40, 42, 48), awning=(38, 98, 76),
    ),
    Style(  # Mediterranean
        bond="plaster", ground_bond="plaster", roof="tiles", balconies="alternate",
        story=(180, 215), bay=(235, 300), window=(36, 62), shops=30,
        walls=((236, 178, 104), (232, 160, 112), (240, 192, 122)), trim=(248, 232, 206),
        doors=((112, 66, 40), (124, 76, 44)), shutters=((54, 112, 88), (62, 120, 104)),
        joinery=(246, 240, 228), roofing=(190, 98, 66), metal=(54, 50, 50), awning=(44, 74, 124),
    ),
    Style(  # Georgian
        bond="brick", roof="parapet", pillars="corners", balconies="single",
        story=(175, 210), bay=(200, 260), window=(42, 66), shops=15, panes=(4, 3),
        walls=((176, 140, 98), (168, 132, 92), (186, 150, 108)), trim=(242, 238, 228),
        doors=((150, 34, 40), (134, 30, 44)),
        joinery=(248, 248, 246), roofing=(104, 108, 116), metal=(34, 36, 40), awning=(38, 98, 76),
    ),
    Style(  # Gründerzeit
        bond="plaster", roof="gable", pillars="all",
        surround=True, pediments=True, cornices=True,
        story=(170, 200), bay=(205, 260), window=(44, 64), shops=45,
        walls=((158, 196, 178), (164, 188, 206), (170, 200, 186)), trim=(248, 246, 236),
        doors=((106, 62, 40), (92, 56, 40)),
        joinery=(250, 248, 242), roofing=(142, 84, 68), metal=(52, 56, 60), awning=(176, 48, 46),
    ),
    Style(  # Venetian
        bond="plaster", roof="parapet", pillars="corners", balconies="single",
        surround=True, cornices=True,
        story=(185, 225), bay=(190, 240), window=(46, 66), shops=30, rise=50,
        walls=((206, 112, 96), (214, 126, 104), (198, 104, 92)), trim=(244, 232, 214),
        doors=((88, 54, 38), (98, 62, 42)),
        joinery=(92, 62, 48), roofing=(178, 96, 70), metal=(226, 216, 200), awning=(44, 74, 124),
    ),
)  # fmt: skip
# Mostly dark, because a network can't infer the interior from the labels.
INTERIORS: tuple[Interior, ...]
INTERIORS = ("dark", "dark", "dark", "dark", "dark", "dark", "drapes", "drapes", "drapes", "blind", "lit")
SKIES = (  # colors at the zenith and at the horizon
    ((88, 146, 214), (200, 222, 240)),
    ((104, 156, 214), (214, 228, 240)),
    ((78, 134, 206), (192, 214, 236)),
)
