"""Charts: functions from a DataFrame to a Plotly figure, with one colour-blind-safe palette for both themes."""

from ui.charts.curves import density_figure, ridgeline_figure
from ui.charts.distribution import ecdf_figure, histogram_figure
from ui.charts.layout import BRUSH, apply_layout, axis_title, brush_sideways, column_label
from ui.charts.palette import DOMAINS_DRAWN, LINE, PALETTE, domain_colours, faded, shown
from ui.charts.planes import (
    QUADRANTS,
    density_map,
    length_plane_figure,
    length_points_figure,
    loss_plane_figure,
    loss_points_figure,
    point_clouds,
)

__all__ = [
    "BRUSH",
    "DOMAINS_DRAWN",
    "LINE",
    "PALETTE",
    "QUADRANTS",
    "apply_layout",
    "axis_title",
    "brush_sideways",
    "column_label",
    "density_figure",
    "density_map",
    "domain_colours",
    "ecdf_figure",
    "faded",
    "histogram_figure",
    "length_plane_figure",
    "length_points_figure",
    "loss_plane_figure",
    "loss_points_figure",
    "point_clouds",
    "ridgeline_figure",
    "shown",
]
