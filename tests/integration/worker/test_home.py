"""What a worker finds on its disk."""

from __future__ import annotations

from podium.worker.home import WorkerHome


def test_looking_for_held_runs_leaves_an_order_that_is_being_stored_alone(tmp_path):
    """The janitor looks from a thread: an order accepted in that moment lost its directory."""
    home = WorkerHome(tmp_path)
    home.open()
    half = home.run("run_1")
    half.path.mkdir()
    assert home.held() == []
    assert half.path.exists()


def test_a_directory_without_a_whole_order_is_removed_before_orders_are_taken(tmp_path):
    home = WorkerHome(tmp_path)
    home.open()
    half = home.run("run_1")
    half.path.mkdir()
    (half.path / "order.part").write_bytes(b"torn")
    home.forget_halves()
    assert not half.path.exists()
