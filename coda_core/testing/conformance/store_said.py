"""The suite of state stores: what was said, kept and found."""

from __future__ import annotations

from typing import Any

from coda_core.testing.conformance.store_suite import StoreSuite, talk

__all__ = ["SaidChecks"]


class SaidChecks(StoreSuite):
    """Words are gathered into passages, and passages are found by their words."""

    def test_what_was_said_is_there_in_passages(self, store: Any) -> None:
        words = [f"w{at}" for at in range(120)]
        told = talk("a", words, time_s=5.0)
        for start in range(0, len(told), 7):
            store.append(told[start : start + 7])
            store.append(told[start : start + 7])
        passages = list(store.passages("a"))
        assert [len(passage.words) for passage in passages] == [50, 50, 20]
        assert " ".join(passage.text for passage in passages).split() == words
        assert (passages[0].conversation, passages[0].speaker, passages[0].time_s) == ("a", "moshi", 6.0)
        assert (passages[0].start_s, passages[0].end_s) == (passages[0].words[0].start_s, passages[0].words[-1].end_s)

    def test_words_that_nobody_has_ended_are_there_too(self, store: Any) -> None:
        store.append(talk("a", ["still", "speaking"])[:-1])
        assert [passage.text for passage in store.passages("a")] == ["still speaking"]

    def test_a_passage_is_found_by_its_words(self, store: Any) -> None:
        store.append(talk("a", ["The", "weather", "in", "Orléans", "is", "fine."], user_id="ada", time_s=1))
        store.append(talk("b", ["Fine", "words", "about", "weather"], user_id="bob", time_s=2))
        store.append(talk("c", ["nothing"], time_s=3))

        def found(text: str, user_id: str | None = None) -> list[str]:
            return [passage.conversation for passage in store.search(text, user_id=user_id)]

        assert found("weather") == ["b", "a"]
        assert found("WEATHER fine") == ["b", "a"]
        assert found("orleans") == found("Orléans") == ["a"]
        assert found('"is fine"') == ["a"]
        assert found('"fine is"') == []
        assert found("wea*") == ["b", "a"]
        assert found("wea") == []
        assert found("weather", "ada") == ["a"]
        assert found("weather", "eve") == []
        assert found("") == found("!!") == found('"') == []
        assert found('weather" OR "nothing') == found("text:weather nothing") == []
        assert found("weather & nothing") == found("weather:*nothing") == []
        assert [passage.conversation for passage in store.search("weather", limit=1)] == ["b"]
        assert list(store.search("weather", limit=0)) == []
        (passage,) = store.search("orleans")
        assert passage == next(iter(store.passages("a")))

    def test_a_passage_is_found_from_when_it_is_over(self, store: Any) -> None:
        told = talk("a", ["quietly", "spoken"])
        store.append(told[:-1])
        assert list(store.search("quietly")) == []
        store.append(told[-1:])
        assert [passage.text for passage in store.search("quietly")] == ["quietly spoken"]
