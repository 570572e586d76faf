"""docs/asyncapi.yaml is AsyncAPI 3, and says the same as the code."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from leaky import LeakySimulator

from inmateria.adapters.mqtt.wire.address import Address
from inmateria.adapters.mqtt.wire.announcements import IN_FAULT, OFFLINE, ONLINE, STOPPED, Event, Status
from inmateria.adapters.mqtt.wire.frames import Header, Kind
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE
from inmateria.substrate import Channel, Limits, SubstrateInfo

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "asyncapi.yaml"


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PAGE.read_text("utf-8"))
    return loaded


def named(document: dict[str, Any], reference: str) -> Any:
    """Find what a reference names."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def resolved(document: dict[str, Any], value: Any) -> Any:
    """Put what is named in the place of every reference; fails on one that names nothing."""
    if isinstance(value, dict):
        if "$ref" in value:
            return resolved(document, named(document, value["$ref"]))
        return {key: resolved(document, each) for key, each in value.items()}
    return [resolved(document, each) for each in value] if isinstance(value, list) else value


def test_it_is_valid_by_the_specification_s_own_schema(document: dict[str, Any]) -> None:
    # No package on PyPI carries that schema: `npm install @asyncapi/specs` in this checkout, or name the file.
    schema = Path(os.environ.get("INMATERIA_ASYNCAPI_SCHEMA", ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0.json"))
    if not schema.is_file():
        pytest.skip(f"there is no {schema}: npm install @asyncapi/specs")
    jsonschema.validate(document, json.loads(schema.read_text("utf-8")))


def test_it_has_what_asyncapi_3_asks_for(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    for server in document["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert named(document, operation["channel"]["$ref"])["messages"]
    for message in document["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(resolved(document, message["payload"]))


def test_its_references_name_something_and_its_channels_are_the_topics_of_the_code(document: dict[str, Any]) -> None:
    whole = resolved(document, document)
    topic = Address("{group}", "{device}").topic
    addresses = {each["address"] for each in whole["channels"].values()}
    assert addresses == {
        *(topic(each) for each in ("info", "status", "events", "stop", "release")),
        *(topic(each, "{user}", "{session}") for each in ("stimulus", "response")),
    }
    for channel in whole["channels"].values():
        assert {f"{{{name}}}" for name in channel["parameters"]} == {
            part for part in channel["address"].split("/") if part.startswith("{")
        }


def test_its_headers_are_those_of_the_code(document: dict[str, Any]) -> None:
    header = document["components"]["schemas"]["frameHeader"]["properties"]
    assert set(header) == set(Header.__struct_fields__)
    assert set(header["kind"]["enum"]) == {str(each) for each in Kind}


def test_each_operation_says_its_quality_of_service_and_what_is_retained(document: dict[str, Any]) -> None:
    retained = {"info": (1, True), "status": (1, True)}
    for operation in document["operations"].values():
        name = operation["channel"]["$ref"].rpartition("/")[2]
        qos, retain = retained.get(name, (1 if name in ("stop", "release") else 0, False))
        assert operation["bindings"]["mqtt"] == {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}
    page = (ROOT / "docs" / "wire.md").read_text("utf-8")
    for topic, qos, retain in re.findall(
        r"^\| `([a-z]+)[^|]*\|[^|]*\|[^|]*\| (0|1) \| (yes|no) \|$", page, re.MULTILINE
    ):
        assert (retain == "yes") == (topic in retained)
        assert qos == ("1" if topic in retained or topic in ("stop", "release") else "0")


def test_its_limits_are_those_of_the_code(document: dict[str, Any]) -> None:
    whole = resolved(document, document["components"])
    assert whole["messages"]["frame"]["payload"]["maxLength"] == MOST_MESSAGE
    assert whole["schemas"]["frameHeader"]["properties"]["largest"]["maximum"] == MOST_MESSAGE
    limits = whole["messages"]["info"]["payload"]["properties"]["limits"]["properties"]
    assert {name: each["default"] for name, each in limits.items()} == msgspec.to_builtins(Limits())
    assert set(whole["messages"]["info"]["payload"]["properties"]) == set(SubstrateInfo.__struct_fields__)
    channel = whole["schemas"]["channel"]
    for unit in ("V", "mV", "uA/cm2", "%", "spikes/s", "1/s", "s-1", "mol/l", "1"):
        jsonschema.validate({"name": "a", "unit": unit, "low": 0, "high": 1}, channel)
        assert Channel(name="a", unit=unit, low=0, high=1)
    for unit in ("", "µV", "spike rate", "V/", "[red]", "V" * 65):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"name": "a", "unit": unit, "low": 0, "high": 1}, channel)
        with pytest.raises(ValueError, match="unit"):
            Channel(name="a", unit=unit, low=0, high=1)


@pytest.mark.parametrize("name", ["info", "status", "event"])
def test_what_a_device_announces_is_what_it_says(document: dict[str, Any], name: str) -> None:
    said: Any = {
        "info": LeakySimulator().info,
        "status": Status(IN_FAULT, "e", "ada/1", 15.0, "RuntimeError: x"),
        "event": Event("lease ended", 1.0, "e", "ada/1", "closed"),
    }[name]
    schema = resolved(document, document["components"]["messages"][name]["payload"])
    jsonschema.validate(msgspec.json.decode(msgspec.json.encode(said)), schema)
    if name == "status":
        assert set(schema["properties"]["state"]["enum"]) == {ONLINE, STOPPED, IN_FAULT, OFFLINE}
    if name != "info":
        assert set(schema["properties"]) == set(type(said).__struct_fields__)
