"""The server learns the sizes of the views from the page, often after there is something to show in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vtkmodules.vtkCommonCore import vtkCommand


def once_sized(view: Any, call: Callable[[], None]) -> None:
    """Call f() when the page next tells the size of a view."""
    window = view.interactor()

    def sized(*_: Any) -> None:
        window.RemoveObserver(tag)
        call()
        view.schedule_render()

    tag = window.AddObserver(vtkCommand.WindowResizeEvent, sized)


def fit_around_middle(view: Any) -> None:
    """Show as much as a fitted view does, around the place that is in the middle now."""
    if not view.get_background_volume_id():
        return
    matrix = view.get_view_node().GetSliceToRAS()
    middle = [matrix.GetElement(row, 3) for row in range(3)]
    view.fit_view_to_content()
    view.get_view_node().JumpSliceByCentering(*middle)
