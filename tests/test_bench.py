from pathlib import Path

import pytest

from tests.bench.report import BEGIN, END, Row, in_seconds, percentile, ratio, table, write
from tests.bench.world import BenchServer, picture_bytes
from tests.images_server import Call
from utils.images.pictures import decode, extension_of


def test_a_ratio_is_met_up_to_its_goal() -> None:
    assert ratio("lag", 0.75, 1.0, 0.75, "the bare page").is_met
    assert not ratio("lag", 0.76, 1.0, 0.75, "the bare page").is_met


def test_nothing_measured_is_no_result() -> None:
    with pytest.raises(AssertionError):
        ratio("lag", 0.0, 1.0, 0.75, "the bare page")


def test_the_95th_percentile_leaves_out_the_slowest_of_fifty() -> None:
    assert percentile([float(number) for number in range(50, 0, -1)], 0.95) == 48
    assert percentile([3.0], 0.95) == 3


def test_what_nobody_got_took_for_ever() -> None:
    assert in_seconds(percentile([], 0.95)) == "never"


def test_the_table_says_what_is_missed() -> None:
    made = table([Row("bytes", "7 kB", "", 7.0, 5.0, "kB")], "140")
    assert "| bytes | 7 kB |  | 7 kB | 5 kB | **missed** |" in made


def test_the_command_leaves_what_is_written_around_its_table(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    write(document, r"new \1")
    assert document.read_text() == f"above\n{BEGIN}\n\nnew \\1\n\n{END}\nbelow\n"


def test_each_prompt_has_a_picture_of_two_megabytes_of_its_own() -> None:
    with BenchServer() as server:
        call = Call("/v1/images/generations", {}, b'{"prompt": "a fox"}')
        body = server.begin(call)[-1]
    assert isinstance(body, bytes)
    image = decode(body.split(b'"b64_json": "')[1].split(b'"')[0].decode())
    assert image == picture_bytes("a fox") != picture_bytes("an owl")
    assert extension_of(image) == "png"
    assert 1.9e6 < len(image) < 2.1e6
