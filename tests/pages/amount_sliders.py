"""The amount sliders of a domain on the Select page, whose keys change with the value that they follow."""

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Slider


def domain_sliders(page: AppTest) -> dict[str, Slider[float]]:
    """Each shown domain's slider."""
    return {
        str(slider.key).split("_", 4)[4]: slider
        for slider in page.slider
        if str(slider.key).startswith("recipe_domain_")
    }
