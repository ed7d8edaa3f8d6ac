"""The file of receivers: read whole or refused at its place, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.engine.clock import SystemClock
from rekindle.engine.event_ports import Event
from rekindle.settings import load_settings
from rekindle.sinks.receivers import load_receivers
from support.receiver import receiving

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

TWO = f"""\
- name: chat
  webhook: https://hooks.lab/hidden
  secret: {SECRET}
  pattern:
    detail-type: [SageMaker HyperParameter Tuning Job State Change]
    detail: {{HyperParameterTuningJobStatus: [Completed, Failed, Stopped]}}
- name: archive
  file: logs/all.jsonl
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "events.yaml"
    path.write_text(text)
    return path


def test_each_has_a_way_and_a_pattern(tmp_path: Path) -> None:
    chat, archive = load_receivers(write(tmp_path, TWO))
    assert (chat.name, chat.webhook, chat.secret, chat.file) == ("chat", "https://hooks.lab/hidden", bytes(range(32)), None)
    assert chat.pattern is not None
    kind = "SageMaker HyperParameter Tuning Job State Change"
    assert chat.pattern.fits({"detail-type": kind, "detail": {"HyperParameterTuningJobStatus": "Failed"}})
    assert not chat.pattern.fits({"detail-type": kind, "detail": {"HyperParameterTuningJobStatus": "InProgress"}})
    assert (archive.name, archive.file, archive.pattern) == ("archive", tmp_path / "logs" / "all.jsonl", None)
    assert "hidden" not in repr(chat)


def test_sinks_bear_the_receivers_names_and_deliver(tmp_path: Path) -> None:
    with receiving() as ear:
        text = f"- {{name: a, webhook: '{ear.url}/a'}}\n- {{name: b, webhook: '{ear.url}/b'}}\n- {{name: c, file: c.jsonl}}\n"
        sinks = [r.sink(SystemClock()) for r in load_receivers(write(tmp_path, text))]
        assert [s.name for s in sinks] == ["a", "b", "c"]
        for sink in sinks:
            sink.deliver(Event("1", 0.0, '{"id": 1}'))
    assert ear.paths == ["/a", "/b"]
    assert (tmp_path / "c.jsonl").read_text() == '{"id": 1}\n'


REFUSED = [
    ("- {name: 2026-99-99, file: x}", "events.yaml: .*not YAML"),
    ('- {name: "\\UFFFFFFFF", file: x}', "events.yaml: .*not YAML"),
    ("[" * 1_500, "events.yaml: .*not YAML"),
    ("hidden: 1", r"events.yaml: '...': not a list of receivers. Begin each with: - name: NAME"),
    ("- hidden", r"events.yaml\[1\]: .*not a group of settings"),
    ("- {webhook: 'https://hidden.lab'}", r"events.yaml\[1\].name: .*a name is needed"),
    ("- {name: a b, file: x}", r"events.yaml\[1\].name: 'a b': not 1 to 63 letters"),
    ("- {name: a}", r"events.yaml\[1\]: 'a': needs a webhook or a file"),
    ("- {name: a, file: x, webhook: 'https://hidden.lab'}", r"events.yaml\[1\]: 'a': needs a webhook or a file, and not both"),
    ("- {name: a, file: x, secret: hidden}", r"events.yaml\[1\].secret: .*this is for a webhook"),
    ("- {name: a, file: ~no-such-user/x}", r"events.yaml\[1\].file: '~no-such-user/x': no user's home folder"),
    ("- {name: a, file: 1}", r"events.yaml\[1\].file: 1: not a path"),
    ("- {name: a, webhook: 'ftp://hidden'}", r"events.yaml\[1\].webhook: '...': not a URL"),
    ("- {name: a, webhook: 'https://hidden..lab/x'}", r"events.yaml\[1\].webhook: '...': not a URL"),
    (f"- {{name: a, webhook: 'https://hidden{64 * 'a'}.lab/x'}}", r"events.yaml\[1\].webhook: '...': not a URL"),
    ("- {name: a, webhook: [hidden]}", r"events.yaml\[1\].webhook: '...': not a URL"),
    ("- {name: a, webhook: 'https://x.lab', secret: hidden}", r"events.yaml\[1\].secret: '...': not whsec_"),
    (
        "- {name: a, file: x, filter: hidden}",
        r"events.yaml\[1\].filter: '...': not one of name, webhook, secret",
    ),
    ("- {name: a, file: x, pattern: {detail: Failed}}", r"events.yaml\[1\].pattern.detail: 'Failed': not a list of values"),
    ("- name: a\n  secret: 'hidden\n", r"events.yaml: .*not YAML at line \d"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_what_is_no_receiver_is_refused_at_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence) as caught:
        load_receivers(write(tmp_path, text))
    assert "hidden" not in str(caught.value)


def test_the_home_has_one_and_a_setting_names_another(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    other = tmp_path / "other.yaml"
    other.write_text("- {name: only, file: /logs/only.jsonl}\n")
    home = {"REKINDLE_HOME": str(tmp_path)}
    assert [r.name for r in load_settings(home).receivers] == ["chat", "archive"]
    settings = load_settings({**home, "REKINDLE_EVENTS": str(other), "REKINDLE_EVENTS_FILE": "/logs/all.jsonl"})
    assert [r.name for r in settings.receivers] == ["file", "only"]
    assert "REKINDLE_EVENTS" not in settings.environment, "training jobs would know of it"
    with pytest.raises(InvalidValue, match=r"^REKINDLE_EVENTS: .*: cannot be read: No such file"):
        load_settings({**home, "REKINDLE_EVENTS": str(tmp_path / "absent.yaml")})
    with pytest.raises(InvalidValue, match=r"^REKINDLE_EVENTS: '/dev/zero': longer than 1,048,576 bytes"):
        load_settings({**home, "REKINDLE_EVENTS": "/dev/zero"})


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "- {name: file, file: a}\n")
    with pytest.raises(InvalidValue, match="'file': two receivers have this name"):
        load_settings({"REKINDLE_HOME": str(tmp_path), "REKINDLE_EVENTS_FILE": "/logs/all.jsonl"})
