"""Miniatures of maps: where the dots are, in which colours, and that any subset gives a readable picture."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pandas as pd

from ftft_core.figures import DARK, LIGHT
from ftft_core.figures.thumbnails import HEIGHT, SCALE, WIDTH, thumbnail, thumbnail_map


def frame(variability: list[float], confidence: list[float], positions: list[int] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {"position": positions or range(len(confidence)), "variability": variability, "confidence": confidence}
    )


def pixels(picture: bytes) -> np.ndarray:
    """(rows, columns, 4) of a PNG with a palette and no filters, read apart from what wrote it."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        kind, content = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        assert struct.unpack(">I", picture[place + 8 + length : place + 12 + length]) == (zlib.crc32(kind + content),)
        chunks[kind], place = content, place + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (width, height, depth, colour) == (WIDTH * SCALE, HEIGHT * SCALE, 8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    opacity = np.frombuffer(chunks[b"tRNS"], np.uint8)
    return np.dstack([palette[rows[:, 1:]], opacity[rows[:, 1:]]])


def where(picture: np.ndarray, colour: str) -> np.ndarray:
    """Middle of what is drawn in a colour: row and column."""
    return np.argwhere((picture[..., :3] == rgb(colour)).all(axis=2) & (picture[..., 3] > 0)).mean(axis=0)


def rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def test_a_member_is_accented_and_the_rest_is_faint() -> None:
    # Variability 0 is left, confidence 1 is on top: the member is top left, the other bottom right.
    places = thumbnail_map(frame([0.0, 0.5], [1.0, 0.0]))
    for theme in (LIGHT, DARK):
        picture = pixels(thumbnail(places, np.array([0]), theme))
        top, left = where(picture, theme.accent)
        assert (top < 15, left < 25) == (True, True)
        bottom, right = where(picture, theme.density[1])
        assert (bottom > HEIGHT * SCALE - 15, right > WIDTH * SCALE - 25) == (True, True)
        assert picture[HEIGHT, WIDTH, 3] == 0  # nothing lies in the middle


def test_examples_that_the_map_lacks_or_that_have_no_place_are_not_drawn() -> None:
    places = thumbnail_map(frame([0.1, np.nan, 0.2], [0.5, 0.5, np.nan], [3, 7, 8]))
    nothing = pixels(thumbnail(places, np.array([], dtype=np.int64), LIGHT))
    np.testing.assert_array_equal(pixels(thumbnail(places, np.array([0, 7, 8, 99]), LIGHT)), nothing)
    assert not np.array_equal(pixels(thumbnail(places, np.array([3]), LIGHT)), nothing)


def test_a_map_of_one_example_and_an_empty_one_can_be_drawn() -> None:
    assert pixels(thumbnail(thumbnail_map(frame([0.2], [0.5])), np.array([0]), LIGHT))[..., 3].any()
    empty = thumbnail_map(frame([], []).astype({"position": "int64"}))
    assert not pixels(thumbnail(empty, np.array([0]), LIGHT))[..., 3].any()


def test_a_handful_is_seen_among_very_many() -> None:
    random = np.random.default_rng(0)
    places = thumbnail_map(frame(random.uniform(0, 0.5, 80_000).tolist(), random.uniform(0, 1, 80_000).tolist()))
    picture = pixels(thumbnail(places, np.array([5, 500]), LIGHT))
    assert (picture[..., :3] == rgb(LIGHT.accent)).all(axis=2).sum() >= 2 * 20
    assert len(thumbnail(places, np.arange(80_000), LIGHT)) < 40_000
