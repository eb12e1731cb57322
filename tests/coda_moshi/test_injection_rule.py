from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from coda_core.commands import Say
from coda_core.errors import ModelError
from coda_moshi.injection_rule import InjectionRule


@pytest.mark.parametrize("config", [{}, {"coda": {}}, {"coda": {"voice": "robot"}}, {"coda": {"injection": {}}}])
def test_a_checkpoint_that_says_nothing_gets_the_usual_rule(config: dict[str, Any]) -> None:
    assert InjectionRule.of_checkpoint(config) == InjectionRule()


def test_a_checkpoint_may_have_a_rule_of_its_own() -> None:
    table = {"announce": False, "not_onsets": ["."], "settle_frames": 2, "gap_frames": 9, "ending": "."}
    assert InjectionRule.of_checkpoint({"coda": {"injection": table}}) == InjectionRule(
        announce=False, not_onsets=(".",), settle_frames=2, gap_frames=9, ending="."
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("later", "coda.injection is no table"),
        ({"announce": 1}, "announce is 1; expected true or false"),
        ({"not_onsets": "."}, "not_onsets is '.'; expected a list of pieces"),
        ({"not_onsets": [1]}, "expected a list of pieces"),
        ({"settle_frames": -1}, "settle_frames is -1; expected a number of frames"),
        ({"gap_frames": True}, "gap_frames is True; expected a number of frames"),
        ({"ending": 3}, "ending is 3; expected a text"),
        ({"lower_case": "yes"}, "lower_case is 'yes'; expected true or false"),
        ({"left_out": [","]}, "expected a text of the characters"),
        ({"whole_words": 1}, "whole_words is 1; expected true or false"),
        ({"endings": "."}, "endings is '.'; expected one of announce, ending, gap_frames, left_out, lower_case"),
    ],
)
def test_what_is_no_rule_is_refused(table: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        InjectionRule.of_checkpoint({"coda": {"injection": table}})


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"coda\.injection is no table"):
        InjectionRule.of_checkpoint({"coda": "yes"})


def test_a_checkpoint_is_served_by_its_rule(
    open_processor: Any, brief_folder: Path, stage: Any, voice: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "ruled"
    shutil.copytree(brief_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["coda"] = {"injection": {"announce": False, "ending": "."}, "more": 1}
    (folder / "config.json").write_text(json.dumps(config))
    with open_processor(folder, 1) as processor, open_processor(brief_folder, 1, prompt="hello") as plain:
        # Whoever parks under one rule must not resume under another.
        assert processor.info.fingerprint != plain.info.fingerprint
        ruled = stage(processor)
        ruled.open(0, seed=1)
        processor.command(0, Say(id=1, text="yes", deadline_frames=0))
        frames, spoken = voice(1, 8), b""
        for frame in frames:
            heard = ruled.step({0: frame})[0]
            if ruled.output.injected is not None:
                spoken += processor.info.vocabulary.pieces[int(heard.token[0])]
        assert spoken == b"yes."
