"""A sink whose name in the group another process takes."""

from tests.connectors.stores.clickhouse.world import World, line, wait


def test_a_sink_that_is_shut_out_ends_and_says_so(world: World) -> None:
    first = world.sink()
    world.send(line("a"))
    world.settle()
    second = world.sink(wait_ready=False)
    wait(lambda: not first.alive, "the first sink owns nothing any more and stays")
    assert first.exit_code == 1
    assert "Static consumer fenced" in first.tail()
    world.send(line("b"))
    world.settle()
    assert world.ids() == ["a", "b"]
    second.stop()
