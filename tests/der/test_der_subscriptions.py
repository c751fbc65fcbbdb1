"""Subscriptions: what is told is taken without a poll, what is not told is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from der_world import HOST, DictServer, World, documents, event, mrids, page

from dgm.der import resource as r
from dgm.der.discovery import Answer, NoAnswer, Notified

OUR_URL = "https://site.example:9443/notify"


def served() -> dict[str, Any]:
    """The small server, with DERControls that can be subscribed to."""
    found = documents()
    own = replace(found["/edev"].items[0], subscription_list_link="/subs")
    found["/edev"] = page((own,), r.EndDeviceList, poll_s=300)
    found["/dc"] = page((event("E0"),), r.DERControlList, subscribable=1, href="/dc")
    return found


def subscribed(content: dict[str, Any] | None = None) -> World:
    world = World(DictServer(served() if content is None else content), notification_url=OUR_URL).run(5)
    assert [body.subscribed for body in subscriptions(world)] == ["/dc"]
    return world


def subscriptions(world: World) -> list[r.Subscription]:
    return [body for _, path, body in world.server.bodies if path == "/subs"]


def place(world: World) -> str:
    """Where the server keeps the newest subscription."""
    return f"/sub/{max(index for index, (_, path, _) in enumerate(world.server.bodies, 1) if path == '/subs')}"


def tell(world: World, resource: object = None, **more: Any) -> None:
    content = {"subscribed": "/dc", "status": r.NotificationState.DEFAULT, "subscription_uri": place(world), **more}
    notification = r.Notification(resource=resource, **content)
    assert world.discovery.is_ours(notification)
    world.give(Notified(notification=notification))


def test_only_what_is_subscribable_is_subscribed_to_once_and_where_we_are_reached() -> None:
    world = subscribed().run(3000)
    assert [body.notification_uri for body in subscriptions(world)] == [OUR_URL]


def test_without_an_address_of_ours_nothing_is_subscribed_to() -> None:
    assert subscriptions(World(DictServer(served())).run(1000)) == []


@pytest.mark.parametrize("prefix", ["", HOST])
def test_a_notification_is_taken_without_a_poll_whether_its_subscription_is_relative_or_absolute(prefix: str) -> None:
    world = subscribed()
    asked = len(world.server.asked)
    news = page((event("E0"), event("E1")), r.DERControlList)
    tell(world, news, subscription_uri=prefix + place(world))
    assert mrids(world) == ["E0", "E1"]
    assert len(world.server.asked) == asked


def test_a_bare_signal_and_a_part_of_a_list_are_fetched_at_once() -> None:
    content = served()
    world = subscribed(content)
    content["/dc"] = page((event("E5"),), r.DERControlList, subscribable=1, href="/dc")
    tell(world, r.DERControlList(all=1, results=0))
    assert mrids(world) == ["E5"]
    content["/dc"] = page((event("E6"),), r.DERControlList, subscribable=1, href="/dc")
    tell(world, None)
    assert mrids(world) == ["E6"]
    assert len(subscriptions(world)) == 1, "what was told was not missed"


def test_what_is_subscribed_to_is_polled_as_a_heartbeat_and_the_rest_as_ever() -> None:
    world = subscribed().run(1850)
    looked, checked, *beats = world.server.times("/dc")
    assert checked - looked < 5, "once more when subscribed: what changed just before is told by nobody"
    assert len(beats) == 2
    assert len(world.server.times("/dp")) > 25


def test_a_change_that_was_not_told_is_found_by_the_heartbeat_and_subscribed_to_anew() -> None:
    content = served()
    world = subscribed(content)
    content["/dc"] = page((event("E7"),), r.DERControlList, subscribable=1, href="/dc")
    world.run(1000)
    assert mrids(world) == ["E7"]
    assert len(subscriptions(world)) == 2


@pytest.mark.parametrize("status", [state for state in r.NotificationState if state.value])
def test_a_subscription_that_the_server_ends_is_looked_into_and_made_anew(status: r.NotificationState) -> None:
    content = served()
    world = subscribed(content)
    moved = replace(content["/dp"].items[0], der_control_list_link="/new")
    content["/dp"] = page((moved,), r.DERProgramList, poll_s=60)
    content["/new"] = page((event("E8"),), r.DERControlList, subscribable=1, href="/new")
    tell(world, None, status=status)
    assert mrids(world) == ["E8"]
    assert [body.subscribed for body in subscriptions(world)] == ["/dc", "/new"]


def test_a_subscription_is_renewed_every_day() -> None:
    world = subscribed().run(2 * 86_400 + 100)
    assert len(subscriptions(world)) == 3


def test_a_refused_subscription_leaves_the_polls_as_they_were_and_is_tried_again_in_an_hour() -> None:
    server = DictServer(served())
    server.trouble = lambda method, path, at_ms: Answer(tag=0, status=403) if path == "/subs" else None
    world = World(server, notification_url=OUR_URL).run(3700)
    assert len(server.times("/subs", "POST")) == 2
    assert len(server.times("/dc")) > 55
    assert mrids(world) == ["E0"]


def test_after_the_loss_of_the_server_it_is_polled_at_once_and_subscribed_to_anew() -> None:
    content = served()
    world = subscribed(content)
    world.server.trouble = lambda method, path, at_ms: NoAnswer(tag=0)
    world.run(400)
    content["/dc"] = page((event("E9"),), r.DERControlList, subscribable=1, href="/dc")
    world.server.trouble = lambda method, path, at_ms: None
    world.run(500)
    assert mrids(world) == ["E9"]
    assert len(subscriptions(world)) == 2


def test_a_notification_of_no_subscription_of_ours_is_not_ours_and_changes_nothing() -> None:
    world = subscribed()
    forged = r.Notification(
        subscribed="/dc",
        status=r.NotificationState.DEFAULT,
        subscription_uri="/sub/999",
        resource=page((), r.DERControlList),
    )
    assert not world.discovery.is_ours(forged)
    world.give(Notified(notification=forged))
    assert mrids(world) == ["E0"]


def listed(subscribed: str, href: str, uri: str = OUR_URL, **more: Any) -> r.Subscription:
    fields: dict[str, Any] = {"encoding": 0, "level": "-S1", "limit": 50, **more}
    return r.Subscription(href=href, subscribed=subscribed, notification_uri=uri, **fields)


def test_after_a_restart_what_the_server_tells_us_still_is_adopted_and_not_made_anew() -> None:
    content = served()
    content["/subs"] = page((listed("/dc", "/subs/7"), listed("/gone", "/subs/8")), r.SubscriptionList)
    world = World(DictServer(content), notification_url=OUR_URL).run(5)
    assert subscriptions(world) == []
    assert len(world.server.times("/dc")) == 2, "what changed before we knew was told to nobody"
    news = r.Notification(
        subscribed="/dc",
        status=r.NotificationState.DEFAULT,
        subscription_uri="/subs/7",
        resource=page((event("E3"),), r.DERControlList),
    )
    assert world.discovery.is_ours(news)
    world.give(Notified(notification=news))
    assert mrids(world) == ["E3"]
    world.run(86_500)
    assert len(subscriptions(world)) == 1, "renewed after a day"


@pytest.mark.parametrize(
    "other",
    [
        listed("/dc", "/subs/7", uri="https://other.example/notify"),
        listed("/dc", "/subs/7", encoding=1),
        listed("/dc", "/subs/7", condition=r.Condition(attribute=0, lower=1, upper=2)),
        listed("/tm", "/subs/7"),
    ],
)
def test_a_subscription_that_is_not_as_we_ask_for_it_is_left_alone(other: r.Subscription) -> None:
    content = served()
    content["/subs"] = page((other,), r.SubscriptionList)
    world = World(DictServer(content), notification_url=OUR_URL).run(5)
    assert [body.subscribed for body in subscriptions(world)] == ["/dc"]


def test_an_adopted_subscription_that_the_server_has_ended_is_made_anew() -> None:
    content = served()
    content["/subs"] = page((listed("/dc", "/subs/7"),), r.SubscriptionList)
    world = World(DictServer(content), notification_url=OUR_URL).run(5)
    content["/subs"] = page((), r.SubscriptionList)
    ended = r.Notification(subscribed="/dc", status=r.NotificationState.CANCELLED, subscription_uri="/subs/7")
    world.give(Notified(notification=ended))
    assert [body.subscribed for body in subscriptions(world)] == ["/dc"]
