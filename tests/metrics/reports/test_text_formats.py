from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from srkit.errors import SrkitError
from srkit.metrics.bootstrap import compare
from srkit.metrics.encoding import result_from
from srkit.metrics.gates import judge, parse_gate
from srkit.metrics.reports import FORMATS, Report, document
from srkit.metrics.results import FailedImage, ImageResult, SetResult
from tests.helpers import refused

HOSTILE = '<script>alert("1")</script>|`*_[x](http://e.com)&amp;\n\x01\u202e\udcff\'.png'
NEW = SetResult(
    "Set5",
    4,
    "edsr-x4",
    "ab" * 32,
    "classical",
    "LR_bicubic/X4",
    (
        ImageResult("baby.png", {"psnr": 33.5, "ssim": 0.9}),
        ImageResult(HOSTILE, {"psnr": math.inf, "ssim": 1.0}),
        ImageResult("nan.png", {"psnr": 20.0, "ssim": math.nan}),
    ),
    failed=(FailedImage("torn.png", "torn.png could not be read <&>."),),
    support=("bird.png",),
    versions={"srkit": "0.1.0", "torch": "2.9"},
)
OLD = SetResult(
    "Set5",
    4,
    "bicubic",
    None,
    "classical",
    "LR_bicubic/X4",
    tuple(
        ImageResult(name, {"psnr": 20.0, "ssim": 0.5})
        for name in ("baby.png", HOSTILE, "nan.png", "torn.png")
    ),
)
GATES = [parse_gate(text, ("psnr", "ssim")) for text in ("psnr.min<25", "ssim<0.1", "psnr<10")]
REPORT = Report((NEW, OLD), tuple(judge(GATES, [NEW], None)), tuple(compare(NEW, OLD)))

Write = Callable[[str, Report], bytes]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(option: str, report: Report) -> bytes:
        (form,) = [form for form in FORMATS if form.option == option]
        path = tmp_path / f"report{form.suffix}"
        form.write(report, path)
        assert list(tmp_path.iterdir()) == [path]
        return path.read_bytes()

    return written


def test_document_has_what_the_command_line_promises() -> None:
    new, old = document(REPORT)
    promised = [
        "dataset",
        "scale",
        "model",
        "model_sha256",
        "protocol",
        "lr_source",
        "count",
        "mean",
        "images",
        "versions",
    ]
    assert set(promised) <= new.keys()
    assert (new["count"], old["count"]) == (3, 4)
    assert new["mean"] == {"psnr": 26.75, "ssim": None}
    assert new["infinite"] == {"psnr": [HOSTILE]} and len(new["remarks"]) == 2
    assert new["gates"][0]["left_out"] == [HOSTILE] == new["comparisons"][0]["left_out"]
    assert new["images"][0] == {"name": "baby.png", "psnr": 33.5, "ssim": 0.9}
    assert new["images"][1] == {"name": HOSTILE, "psnr": None, "psnr_is_infinite": True, "ssim": 1.0}
    assert new["images"][2] == {"name": "nan.png", "psnr": 20.0, "ssim": None}
    assert new["failed"] == [{"name": "torn.png", "error": "torn.png could not be read <&>."}]
    assert new["support"] == ["bird.png"]
    assert [gate["passed"] for gate in new["gates"]] == [False, False, True]
    assert new["gates"][0]["pictures"] == ["nan.png"]
    assert [one["metric"] for one in new["comparisons"]] == ["psnr", "ssim"]
    assert new["comparisons"][0]["other_model"] == "bicubic"
    assert old["gates"] == [] == old["comparisons"]


def test_document_is_strict_json_and_reads_back() -> None:
    text = json.dumps(document(REPORT), allow_nan=False)
    found = result_from(json.loads(text)[0])
    assert [image.name for image in found.images] == [image.name for image in NEW.images]
    assert repr(found) == repr(NEW)  # by text, since NaN differs from itself


def test_document_without_images() -> None:
    (found,) = document(Report((SetResult("x", None, "dir", None, "classical", "none", ()),)))
    assert (found["count"], found["mean"], found["images"], found["scale"]) == (0, {}, [], None)


def test_jsonl_has_a_record_an_image(write: Write) -> None:
    records = [json.loads(line) for line in write("jsonl", REPORT).decode().splitlines()]
    assert [record["status"] for record in records] == ["done"] * 3 + ["failed"] + ["done"] * 4
    assert records[1]["name"] == HOSTILE and records[1]["psnr_is_infinite"] is True
    assert records[2]["ssim"] is None and "ssim_is_infinite" not in records[2]
    assert records[3]["error"] == "torn.png could not be read <&>." and "psnr" not in records[3]
    assert records[0]["model_sha256"] == "ab" * 32 and records[4]["model"] == "bicubic"


def test_csv_is_read_back_by_the_csv_module(write: Write) -> None:
    text = write("csv", REPORT).decode()
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert len(rows) == 8
    assert rows[0]["psnr"] == "33.5" and rows[0]["error"] == "" and rows[0]["scale"] == "4"
    assert math.isinf(float(rows[1]["psnr"])) and math.isnan(float(rows[2]["ssim"]))
    assert rows[1]["name"] == HOSTILE.replace("\udcff", "\\udcff")
    assert rows[3]["psnr"] == "" and rows[3]["error"].startswith("torn.png")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_csv_holds_no_formula(write: Write, start: str) -> None:
    text = f'{start}cmd|"/c calc"!A1'
    result = replace(
        REPORT.results[0],
        dataset=text,
        model=text,
        lr_source=text,
        images=(ImageResult(text, {"psnr": -1.5}),),
        failed=(FailedImage(text, text),),
    )
    rows = list(csv.reader(io.StringIO(write("csv", Report((result,))).decode(), newline="")))
    cells = [cell for row in rows[1:] for cell in row]
    assert cells.count("'" + text) == 9
    assert not [cell for cell in cells if cell.startswith(start) and cell != "-1.5"]


def test_csv_values_have_all_their_digits(write: Write) -> None:
    value = 10 / 3
    result = SetResult("x", 2, "m", None, "rgb", "none", (ImageResult("a", {"psnr": value}),))
    assert float(next(csv.DictReader(write("csv", Report((result,))).decode().splitlines()))["psnr"]) == value


def test_csv_of_results_with_different_metrics(write: Write) -> None:
    first = SetResult("x", None, "m", None, "rgb", "none", (ImageResult("a", {"niqe": 3.0}),))
    second = SetResult("y", None, "m", None, "rgb", "none", (ImageResult("a", {"musiq": 50.0}),))
    rows = list(csv.DictReader(write("csv", Report((first, second))).decode().splitlines()))
    assert [(row["niqe"], row["musiq"]) for row in rows] == [("3.0", ""), ("", "50.0")]


def suites(data: bytes) -> tuple[ElementTree.Element, list[ElementTree.Element]]:
    root = ElementTree.fromstring(data)
    assert root.tag == "testsuites"
    return root, root.findall("testsuite")


def test_junit_counts_and_names(write: Write) -> None:
    root, (new, old) = suites(write("junit", REPORT))
    # three gates, three images, one failed, one support; two gates broken, one image breaks psnr.min itself
    # and, being NaN, ssim as well
    assert new.attrib == {
        "name": "Set5 x4 edsr-x4 classical",
        "tests": "8",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
    }
    assert (old.get("tests"), old.get("failures")) == ("4", "0")
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("12", "3", "1")
    failing = {case.get("name"): case.find("failure") for case in new.findall("testcase")}
    broken = {name: found.get("message") for name, found in failing.items() if found is not None}
    assert broken.keys() == {"psnr.min<25", "ssim<0.1", "nan.png"}
    assert broken["nan.png"] == "breaks psnr.min<25, ssim<0.1: psnr 20.00, ssim nan"
    assert broken["psnr.min<25"] == str(REPORT.verdicts[0])


def test_junit_errors_skips_and_facts(write: Write) -> None:
    _, (new, _) = suites(write("junit", REPORT))
    cases = {case.get("name"): case for case in new.findall("testcase")}
    assert cases["torn.png"].find("error").get("message") == "torn.png could not be read <&>."  # type: ignore[union-attr]
    assert cases["bird.png"].find("skipped") is not None
    assert cases["baby.png"].findtext("system-out") == "psnr 33.50, ssim 0.9000"
    assert len({(case.get("classname"), case.get("name")) for case in new.findall("testcase")}) == 8
    assert all("." not in (case.get("classname") or ".") for case in new.findall("testcase"))
    properties = {one.get("name"): one.get("value") for one in new.iter("property")}
    assert properties["model_sha256"] == "ab" * 32
    assert properties["mean.psnr"] == "26.75"
    assert "infinite" in (properties["remark.1"] or "") and "nan.png" in (properties["remark.2"] or "")
    assert "paired bootstrap" in (properties["comparison.psnr"] or "")


def test_junit_holds_any_file_name(write: Write) -> None:
    _, (new, _) = suites(write("junit", REPORT))
    names = [case.get("name") or "" for case in new.findall("testcase")]
    assert any(
        name.startswith('<script>alert("1")</script>') and "\\x01\\u202e\\udcff" in name for name in names
    )


def test_junit_without_images_or_gates(write: Write) -> None:
    root, (suite,) = suites(write("junit", Report((SetResult("x", None, "dir", None, "rgb", "none", ()),))))
    assert suite.get("tests") == "0" == root.get("tests")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_summary(write: Write) -> None:
    lines = write("markdown", REPORT).decode().splitlines()
    assert cells(lines[0]) == ["Data set", "Scale", "Model", "Protocol", "Images", "PSNR", "SSIM"]
    assert cells(lines[2]) == ["Set5", "4", "edsr-x4", "classical", "3 of 4", "26.75", "nan"]
    assert cells(lines[3]) == ["Set5", "4", "bicubic", "classical", "4", "20.00", "0.5000"]
    text = "\n".join(lines)
    for said in (
        "LR images LR_bicubic/X4",
        "Support images, left out of the score: bird.png",
        "torn.png: ",
        "PSNR is infinite for 1 of 3 images",
        "SSIM is not a number for 1 of 3 images (nan.png)",
    ):
        assert said in text
    assert "- Gate psnr.min&lt;25 broken on Set5 x4" in text
    assert "luma of BT.601, limited range" in text and "Measured with srkit 0.1.0, torch 2.9" in text


def test_markdown_of_hostile_names_keeps_its_tables(write: Write) -> None:
    lines = write("markdown", Report((NEW,))).decode().splitlines()
    assert "<script" not in "\n".join(lines)
    (row,) = [line for line in lines if "alert" in line and line.startswith("|")]
    assert row.count("|") - row.count("\\|") == 4  # three columns
    assert "\\*" in row and "\\`" in row and "\\[x\\]" in row and "&amp;amp;" in row


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.option)
def test_every_format_is_written_whole_or_not_at_all(form: Any, tmp_path: Path) -> None:
    with refused(SrkitError, tmp_path / "missing"):
        form.write(REPORT, tmp_path / "missing" / "report")
    path = tmp_path / "report"
    path.write_text("old")
    image = ImageResult("a", {"psnr": 1.0})
    object.__setattr__(image, "values", {"psnr": "?"})
    broken = Report((SetResult("x", 4, "m", None, "rgb", "none", (image,)),))
    with pytest.raises((TypeError, ValueError)):
        form.write(broken, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    form.write(REPORT, path)
    first = path.read_bytes()
    form.write(REPORT, path)
    assert path.read_bytes() == first  # equal results, equal bytes
