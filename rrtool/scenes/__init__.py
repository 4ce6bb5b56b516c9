"""A small made-up photo collection with planted objects, drawn by code alone."""

from rrtool.scenes.scenes import Scenes, make_scenes

__all__ = ["Scenes", "make_scenes"]
