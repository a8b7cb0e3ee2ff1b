"""How a wait is drawn: at all news, and else as often as a clock needs."""

from dataclasses import replace

import pytest
import streamlit as st

from screens import parts
from utils.jobs.table import Job, Phase


def test_a_wait_draws_at_news_and_else_less_often_than_it_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[object] = []

    def clock(running: object) -> str:
        drawn.append(running)
        return ""

    monkeypatch.setattr(parts, "clock_in_words", clock)
    monkeypatch.setattr(parts, "VIEW_SECONDS", 3600.0)
    job = Job("one")
    view = parts.WaitView(st.container(), None, ["one"])
    view([job])
    view([job])
    assert len(drawn) == 1
    job.tell(replace(job.news, phase=Phase.WORKING))
    view([job])
    assert len(drawn) == 2
    monkeypatch.setattr(parts, "VIEW_SECONDS", 0.0)
    view.due = 0.0
    view([job])
    view([job])
    assert len(drawn) == 4


def test_a_draft_that_cannot_be_shown_takes_nothing_else_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Job("one")
    job.tell_partial("a draft")
    drafts: list[object] = []

    def fail(_: object, draft: object) -> None:
        drafts.append(draft)
        raise ValueError

    monkeypatch.setattr("utils.jobs.table.jobs.find", lambda _: job)
    monkeypatch.setattr("utils.images.page.show_draft", fail)
    view = parts.WaitView(st.container(), None, ["one"])
    assert drafts == ["a draft"]
    assert [*view.rows] == ["one"]
