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
    view = parts.WaitView(st.empty(), ["one"])
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
