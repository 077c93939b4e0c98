from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.plot import svg


@pytest.mark.parametrize(
    ("sizes", "seconds"),
    [
        pytest.param([10, 100, 1_000], [0.01, 0.1, 3.0], id="over decades"),
        pytest.param([1, 2, 4], [0.5, 0.5, 0.5], id="not growing"),
        pytest.param([10, 100], [1.0, 10.0], id="decades that begin at a point"),
    ],
)
def test_a_point_a_size_inside_of_the_picture(sizes: list[float], seconds: list[float]) -> None:
    picture = ElementTree.fromstring(svg("seconds by rows", sizes, seconds))
    dots = [each for each in picture if each.tag.endswith("circle")]

    assert len(dots) == len(sizes)
    assert all(0 <= float(dot.attrib["cx"]) <= 360 for dot in dots)
    assert all(0 <= float(dot.attrib["cy"]) <= 220 for dot in dots)
    assert next(iter(picture)).text == "seconds by rows"
