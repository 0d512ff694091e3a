"""Two tracks run every test once, and each knows what comes after a test."""
import types

import pytest

from lab import tracks


def items(*ids, world=(), host=()):
    return [types.SimpleNamespace(nodeid=one, fixturenames=['world'] if one in world else [],
                                  get_closest_marker=lambda mark, one=one: mark == 'host' and one.partition('::')[0] in host)
            for one in ids]


@pytest.fixture(autouse=True)
def claims(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, 'CLAIMS', str(tmp_path))
    return tmp_path


def names(track):
    return [(item.nodeid, following and following.nodeid) for item, following in track]


def test_one_track_runs_everything_in_order():
    assert names(tracks.claimed(items('a::1', 'a::2', 'b::1'))) == [('a::1', 'a::2'), ('a::2', 'b::1'), ('b::1', None)]


def test_two_tracks_share(claims):
    all_items = items('a::1', 'a::2', 'b::1', 'c::1', 'd::1', 'a::w', 'c::w', world=('a::w', 'c::w'))
    first, second = tracks.claimed(all_items), tracks.claimed(all_items)
    ran, waiting = [], [first, second]
    while waiting:
        track = waiting.pop(0)
        pair = next(track, None)
        if pair:
            ran.append(pair[0].nodeid)
            waiting.append(track)
    assert sorted(ran) == sorted(item.nodeid for item in all_items)
    assert tracks.collected(claims) == len(all_items)


def test_world_is_one_group():
    first = tracks.claimed(items('a::w', 'c::w', 'a::1', world=('a::w', 'c::w')))
    assert next(first)[0].nodeid == 'a::w'
    second = tracks.claimed(items('a::w', 'c::w', 'a::1', world=('a::w', 'c::w')))
    assert names(second) == [('a::1', None)]


def test_host_tests_stay_on_the_host(monkeypatch):
    found = items('a::1', 'b::1', host=('a',))
    monkeypatch.setattr(tracks, 'IS_HOST', False)
    assert names(tracks.claimed(found)) == [('b::1', None)]
    monkeypatch.setattr(tracks, 'IS_HOST', True)
    assert names(tracks.claimed(found)) == [('a::1', None)]


def test_nothing_left():
    assert names(tracks.claimed(items('a::1'))) and not names(tracks.claimed(items('a::1')))
