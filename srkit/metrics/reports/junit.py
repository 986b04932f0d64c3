"""JUnit XML: a suite per dataset, a test case per image and gate, so that a CI system shows the failures.

An image fails itself if it breaks a `.min` or `.max` gate or its value is NaN; one that could not be evaluated is an
error; a support image of few-shot adaptation is skipped. A gate on the mean fails in its own test case. The elements
are those read by Jenkins, GitLab and GitHub actions (the schema of the Jenkins xUnit plugin, junit-10.xsd).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from srkit.io.names import printable
from srkit.metrics.display import format_value
from srkit.metrics.reports.report import Report, Section, write_text


def write(report: Report, path: Path) -> None:
    """Write the test report.

    Raises:
        SrkitError: the file cannot be written.
    """
    root = ElementTree.Element("testsuites", name="srkit eval")
    root.extend(_suite(section) for section in report.sections())
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_text(path, ['<?xml version="1.0" encoding="UTF-8"?>\n', text, "\n"])


def _suite(section: Section) -> ElementTree.Element:
    result = section.result
    name = printable(f"{result.title} {result.model} {result.protocol}")
    suite = ElementTree.Element("testsuite", name=name)
    _properties(section, ElementTree.SubElement(suite, "properties"))
    # CI systems split class names at dots, which would split file names.
    group = name.replace(".", "_")
    for verdict in section.verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"{group} gates", name=printable(verdict.gate.text)
        )
        if not verdict.passed:
            ElementTree.SubElement(case, "failure", type="gate", message=printable(str(verdict)))
    for image in result.images:
        case = ElementTree.SubElement(suite, "testcase", classname=group, name=printable(image.name))
        values = ", ".join(
            f"{metric} {format_value(metric, value)}" for metric, value in image.values.items()
        )
        broken = [verdict.gate.text for verdict in section.verdicts if image.name in verdict.images]
        if broken:
            ElementTree.SubElement(
                case, "failure", type="gate", message=printable(f"breaks {', '.join(broken)}: {values}")
            )
        ElementTree.SubElement(case, "system-out").text = values
    for failed in result.failed:
        case = ElementTree.SubElement(suite, "testcase", classname=group, name=printable(failed.name))
        ElementTree.SubElement(case, "error", type="picture", message=printable(failed.error))
    for support in result.support:
        case = ElementTree.SubElement(suite, "testcase", classname=group, name=printable(support))
        ElementTree.SubElement(case, "skipped", message="support image: the model was adapted to it")
    for attribute, path in (("tests", "testcase"), ("failures", "*/failure"), ("errors", "*/error")):
        suite.set(attribute, str(len(suite.findall(path))))
    suite.set("skipped", str(len(result.support)))
    return suite


def _properties(section: Section, parent: ElementTree.Element) -> None:
    result = section.result
    facts = {
        "model_sha256": result.model_sha256 or "",
        "lr_source": result.lr_source,
        **{f"mean.{metric}": repr(float(value)) for metric, value in result.mean.items()},
        **{f"remark.{number}": remark for number, remark in enumerate(result.remarks, start=1)},
        **{f"version.{name}": version for name, version in result.versions.items()},
        **{f"comparison.{one.metric}": str(one) for one in section.comparisons},
    }
    for name, value in facts.items():
        ElementTree.SubElement(parent, "property", name=printable(name), value=printable(value))
