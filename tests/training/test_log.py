import json

from s3fd.training.log import RunLog


def steps(file):
    return [json.loads(line)["step"] for line in file.read_text().splitlines()]


def test_a_resumed_log_forgets_what_comes_again(tmp_path):
    log = RunLog(tmp_path / "log.jsonl", 0)
    for step in (1, 2, 2, 3, 4):
        log.write({"step": step})
    RunLog(tmp_path / "log.jsonl", 2).write({"step": 3})
    assert steps(tmp_path / "log.jsonl") == [1, 2, 2, 3]


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"step": 1}\n{"nothing": 1}\n\xff{"step": 2}\n{"step": 2}\n{"step": 2, "cl')
    RunLog(file, 5)
    assert steps(file) == [1, 2]


def test_a_new_run_begins_a_new_log(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1}\n')
    RunLog(file, 0)
    assert file.read_text() == ""


def test_entries_of_a_step_that_is_not_done_are_forgotten_by_name(tmp_path):
    file = tmp_path / "log.jsonl"
    log = RunLog(file, 0)
    for entry in ({"step": 1, "best": 1}, {"step": 2, "loss": 1}, {"step": 2, "best": 1}):
        log.write(entry)
    RunLog(file, 2, again=("best",))
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"step": 1, "best": 1}, {"step": 2, "loss": 1},
    ]  # fmt: skip
