"""The reader: what it reads is what was written, and what is wrong with a file is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from kemm.core.errors import InputError, UsageError
from kemm.modalities.slides.reader import open_slide
from slides.synthetic import Picture, break_tiles, glass, section, write_ome, write_svs

DATA = Path(os.environ.get("KEMM_DATA") or Path(__file__).parents[3] / "shared" / "data")


def noise(height: int, width: int) -> Picture:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read_whole(path: Path) -> Picture:
    with open_slide(path) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)


@pytest.mark.parametrize(("mpp", "power"), [(0.25, 40), (0.5, 20), (1.0, 10)])
def test_an_aperio_slide_tells_its_size_levels_and_resolution(tmp_path: Path, mpp: float, power: int) -> None:
    path = write_svs(tmp_path / "a.svs", section(1100)[0], mpp=mpp, power=power)
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == (1100, 1100)
        assert [round(level.downsample) for level in slide.levels] == [1, 4]
        assert (slide.mpp, slide.power) == (mpp, power)


def test_an_ome_pyramid_is_read_with_all_its_levels(tmp_path: Path) -> None:
    picture = noise(900, 700)
    with open_slide(write_ome(tmp_path / "a.ome.tiff", picture, mpp=0.4)) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(700, 900), (175, 225)]
        assert slide.mpp == pytest.approx(0.4)
        assert (slide.read_level(1, 400, 400, 20, 30) == picture[::4, ::4][100:130, 100:120]).all()


@pytest.mark.parametrize(
    "layout",
    [
        {"tile": (128, 128)},
        {"rowsperstrip": 50},
        {"tile": (128, 128), "planarconfig": "separate"},
        {"tile": (128, 128), "ome": True},
        {"rowsperstrip": 50, "ome": True},
        {"tile": (128, 128), "ome": True, "compression": "deflate", "predictor": True},
        {"tile": (128, 128), "ome": True, "planarconfig": "separate"},
    ],
    ids=str,
)
def test_a_region_over_the_edge_is_what_was_written_and_white(
    tmp_path: Path, layout: dict[str, object]
) -> None:
    picture = noise(400, 500)
    options = dict(layout)
    ome = bool(options.pop("ome", False))
    stored = picture.transpose(2, 0, 1) if layout.get("planarconfig") == "separate" else picture
    tifffile.imwrite(
        tmp_path / "a.tiff",
        stored,
        photometric="rgb",
        ome=ome,
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
        **options,  # type: ignore[arg-type]
    )
    with open_slide(tmp_path / "a.tiff") as slide:
        assert slide.mpp == pytest.approx(0.5)
        region = slide.read_level(0, 350, 290, 200, 200)
    expected = np.full((200, 200, 3), 255, dtype=np.uint8)
    expected[:110, :150] = picture[290:, 350:]
    assert (region == expected).all()


def test_a_tile_is_read_from_the_coarsest_level_that_is_fine_enough(tmp_path: Path) -> None:
    picture = glass((1024, 1024))
    picture[:, 512:] = (200, 100, 150)
    with open_slide(write_svs(tmp_path / "a.svs", picture, levels=2)) as slide:
        assert [slide.level_for(wanted) for wanted in (0.5, 1, 3.5, 4, 9)] == [0, 0, 0, 1, 1]
        tile = slide.read_tile(512, 0, 512, 64)
    assert tile.shape == (64, 64, 3)
    assert np.abs(tile[:, 2:].astype(int) - (200, 100, 150)).max() <= 4


def test_a_picture_of_the_whole_slide_is_the_same_from_one_level_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemm.modalities.slides import reader

    with open_slide(write_svs(tmp_path / "a.svs", section(1024)[0], levels=1)) as slide:
        whole = slide.thumbnail(8).astype(int)
        monkeypatch.setattr(reader, "MAX_REGION", 8 * 1024 * 200)
        banded = slide.thumbnail(8).astype(int)
    assert whole.shape == banded.shape == (64, 64, 3)
    assert np.abs(whole - banded).mean() < 3


def test_a_slide_that_does_not_say_its_resolution_is_refused_and_never_guessed(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", section(600)[0], mpp=None)
    with pytest.raises(InputError, match=r"a\.svs: the file does not say how many micrometres.*slides\.mpp"):
        open_slide(path)
    assert open_slide(path, mpp=0.25).mpp == 0.25


def test_the_72_dpi_of_a_picture_program_is_no_resolution(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tiff", glass((300, 300)), tile=(64, 64), photometric="rgb", resolution=(72, 72)
    )
    with pytest.raises(InputError, match=r"does not say how many micrometres"):
        open_slide(tmp_path / "a.tiff")


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tiff",
        glass((300, 300)),
        rowsperstrip=10,
        photometric="rgb",
        resolution=(20_000, 40_000),
        resolutionunit="CENTIMETER",
    )
    with pytest.raises(InputError, match=r"0\.5 micrometres wide and 0\.25 high"):
        open_slide(tmp_path / "a.tiff")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    with pytest.raises(InputError, match=r"a\.svs: the file is empty"):
        open_slide(tmp_path / "a.svs")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_slide_is_an_error_of_that_slide(tmp_path: Path, share: float) -> None:
    path = write_svs(tmp_path / "a.svs", section(1200)[0])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    # Where it fails depends on what is lost.
    with pytest.raises(InputError, match=r"a\.svs: "):
        read_whole(path)


@pytest.mark.parametrize("writer", [write_svs, write_ome])
def test_an_unreadable_tile_in_the_middle_is_named(tmp_path: Path, writer) -> None:  # type: ignore[no-untyped-def]
    path = writer(tmp_path / "a.tiff", section(1200)[0])
    if writer is write_ome:
        with tifffile.TiffFile(path) as handle:
            offset = handle.pages[0].dataoffsets[12]
        path.write_bytes(path.read_bytes()[: offset + 100])
    else:
        break_tiles(path, 3)
    with pytest.raises(InputError, match=r"a\.tiff: "):
        read_whole(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "this is a PNG picture"),
        (b"<html>sign in</html>", "this is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"some text", "bioformats2raw"),
    ],
)
def test_a_wrong_extension_tells_what_the_file_is(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_slide(tmp_path / "a.svs")


@pytest.mark.parametrize(
    ("name", "remedy"), [("a.vsi", "bioformats2raw"), ("a.png", "vips"), ("a.kfb", "vendor")]
)
def test_a_format_that_is_not_read_is_named_with_what_converts_it(
    tmp_path: Path, name: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=rf"is a format that is not read\. Convert it with .*{remedy}"):
        open_slide(tmp_path / name)


def test_pixels_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tiff", np.zeros((300, 300), dtype=np.uint16), ome=True)
    with pytest.raises(InputError, match="read as RGB of 8 bits"):
        open_slide(tmp_path / "a.ome.tiff", mpp=0.5)


def test_an_image_in_one_huge_piece_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemm.modalities.slides import reader

    tifffile.imwrite(tmp_path / "a.tiff", glass((300, 300)), photometric="rgb")
    monkeypatch.setattr(reader, "MAX_REGION", 10_000)
    with pytest.raises(InputError, match="stored in one piece of 300 x 300 pixels"):
        open_slide(tmp_path / "a.tiff", mpp=0.5)


def test_absurd_sizes_are_a_damaged_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kemm.modalities.slides import reader

    path = write_svs(tmp_path / "a.svs", section(600)[0])
    monkeypatch.setattr(reader, "MAX_SIDE", 500)
    with pytest.raises(InputError, match=r"level 0 is 600 x 600 pixels, which no scanner makes"):
        open_slide(path)


def test_without_the_libraries_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kemm.modalities.slides import reader

    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[wsi\]'"):
        open_slide(tmp_path / "a.svs")


def test_a_scanners_own_file_is_read_as_openslide_reads_it() -> None:
    path = DATA / "wsi" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip(f"no slide in {DATA / 'wsi'}; set KEMM_DATA to the folder above it")
    openslide = pytest.importorskip("openslide")
    with open_slide(path) as slide, openslide.OpenSlide(path) as oracle:
        assert (slide.width, slide.height, slide.mpp, slide.power) == (2220, 2967, 0.499, 20)
        expected = np.asarray(oracle.read_region((700, 900), 0, (224, 224)).convert("RGB"))
        assert (slide.read_tile(700, 900, 224, 224) == expected).all()
