from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from coda_core.cli.init import TEMPLATES, template

Run = Callable[..., Any]


def test_is_a_json_schema(run: Run) -> None:
    told = run("schema")
    assert (told.code, told.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(told.out))


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_valid(run: Run, name: str) -> None:
    schema = json.loads(run("schema").out)
    jsonschema.validate(tomllib.loads(template(name)), schema)


def test_refuses_what_is_not_in_it(run: Run) -> None:
    schema = json.loads(run("schema").out)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"transporter": {}}, schema)
