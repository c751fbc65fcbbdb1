"""Rules C12 to C14 of `dgm check`: how long it takes until every fallback holds, what renews it, when it was drilled.

    death of all ──profile_lease_s (EVSE), revert_s (PV, battery)──> fallback   must be before   upstream_failsafe_s

The renewals of SunSpec and timed devices are a third of their timer by construction; rule C13 looks at what site.yaml
and device tables set. Pure: the days since the drill are passed in.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.site.finding import RuleRow, State, excess

CLOCK_ERROR_S = 5
"""By so much a station's clock may be off and its lease still be trusted (SAFETY.md section 4)."""

DRILL_DAYS = 90


def timing_rows(config: DgmConfig, *, drilled_days_ago: int | None) -> list[RuleRow]:
    """C12 to C14. drilled_days_ago: from site.drilled_on to today, None: not stated."""
    return [*_in_time(config), *_renewed(config), _drilled(config, drilled_days_ago)]


def _in_time(config: DgmConfig) -> Iterator[RuleRow]:
    fallbacks = list(_fallback_times(config))
    if not config.site.HasField("upstream_failsafe_s"):
        if fallbacks:
            slowest, late_s = max(fallbacks, key=lambda one: one[1])
            yield RuleRow(
                rule="C12",
                state=State.UNSTATED,
                where=config.site.id,
                found=f"{slowest} falls back within {late_s} s",
                expected="site.upstream_failsafe_s",
                action="state site.upstream_failsafe_s, if the utility counts on the fallbacks",
            )
        return
    bound_s = config.site.upstream_failsafe_s
    for name, after_s in fallbacks:
        yield RuleRow(
            rule="C12",
            state=State.HOLDS if after_s <= bound_s else State.BROKEN,
            where=name,
            found=f"{after_s} s",
            expected=f"{bound_s} s at most (site.upstream_failsafe_s)",
            action="" if after_s <= bound_s else f"shorten {'profile_lease_s' if name == 'EVSEs' else 'revert_s'}",
            excess=excess(after_s, bound_s),
        )


def _fallback_times(config: DgmConfig) -> Iterator[tuple[str, int]]:
    if config.stations:
        yield "EVSEs", config.ocpp.profile_lease_s + CLOCK_ERROR_S
    for asset in config.assets:
        if asset.type in (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY):
            yield asset.id, asset.revert_s


def _renewed(config: DgmConfig) -> Iterator[RuleRow]:
    if config.stations:
        action = "shorten ems.setpoint_ttl_ms or lengthen ocpp.profile_lease_s"
        yield _renewal("EVSEs", config.ems.setpoint_ttl_ms, config.ocpp.profile_lease_s * 1000, action)
    tables = {table.map.name: table for table in config.devices}
    for asset in config.assets:
        table = tables.get(asset.modbus.device)
        if table is not None and table.control.HasField("heartbeat"):
            within_ms = _watchdog_s(asset, table.control.reverts_after_s) * 1000
            action = f"shorten heartbeat.period_ms of device {asset.modbus.device} or lengthen revert_s"
            yield _renewal(asset.id, table.control.heartbeat.period_ms, within_ms, action)


def _watchdog_s(asset: AssetConfig, own_s: int) -> int:
    return min(own_s, asset.revert_s) if own_s else asset.revert_s


def _renewal(where: str, period_ms: int, fallback_ms: int, action: str) -> RuleRow:
    holds = 2 * period_ms < fallback_ms
    return RuleRow(
        rule="C13",
        state=State.HOLDS if holds else State.WARNING,
        where=where,
        found=f"renewed within {period_ms / 1000:g} s",
        expected=f"less than half of its fallback time of {fallback_ms / 1000:g} s",
        action="" if holds else action,
        excess=excess(2 * period_ms, fallback_ms),
    )


def _drilled(config: DgmConfig, days: int | None) -> RuleRow:
    site = config.site
    if days is None:
        return RuleRow(
            rule="C14",
            state=State.UNSTATED,
            where=site.id,
            found="no drill of the fallbacks is known",
            expected="site.drilled_on",
            action="cut the control once under supervision, see every device fall back, state site.drilled_on",
        )
    holds = 0 <= days <= DRILL_DAYS
    return RuleRow(
        rule="C14",
        state=State.HOLDS if holds else State.WARNING,
        where=site.id,
        found=f"{site.drilled_on}, {days} days ago" if days >= 0 else f"{site.drilled_on}, a day to come",
        expected=f"{DRILL_DAYS} days ago at most",
        action="" if holds else "drill the fallbacks again and state the day",
        excess=excess(days, DRILL_DAYS),
    )
