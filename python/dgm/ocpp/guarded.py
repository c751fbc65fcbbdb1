"""CSMS commands that need a decision before they go: those that would move the station off us, and new passwords.

    ChangeConfiguration, SetVariables, SetNetworkProfile ──> repoints? ──> our refusal in the station's words
                                                        └──> new_password, in force only after the station took it

Everything else never comes here. Passwords are secrets: they stand in no log, no audit line and no repr.
"""

from __future__ import annotations

import re

from dgm.ocpp.frame import Payload

ACTIONS = ("ChangeConfiguration", "SetVariables", "SetNetworkProfile")

_ADDRESS_KEY = re.compile(
    r"(central_?system|csms|back_?end|ocpp_?server|ocpp_?endpoint|web_?socket|connection)_?-?(url|uri|address|addr|host|endpoint)"
    r"|ocpp_?-?(url|uri|address|endpoint)|^(server|host)_?-?(url|uri|address|endpoint)|networkconfigurationpriority",
    re.IGNORECASE,
)
"""Vendors name the key for the central system's address each in their own way; blanks and dots are taken out first."""

_PASSWORD_KEY = "AuthorizationKey"
_TAKEN = ("Accepted", "RebootRequired")
MAX_PASSWORD_CHARS = 64


def repoints(action: str, payload: Payload | None) -> bool:
    """Whether the command would make the station leave us for another address."""
    match action:
        case "SetNetworkProfile":
            return True
        case "ChangeConfiguration":
            return payload is not None and _is_address(payload.get("key"))
        case "SetVariables":
            return any(_is_address_variable(item) for item in _items(payload, "setVariableData"))
        case _:
            return False


def refusal(action: str, payload: Payload | None) -> Payload:
    """What a station would say that does not let itself be moved: nothing of the command is done."""
    if action != "SetVariables":
        return {"status": "Rejected"}
    named = [
        {"attributeStatus": "Rejected", "component": item.get("component"), "variable": item.get("variable")}
        for item in _items(payload, "setVariableData")
    ]
    return {"setVariableResult": named}


def new_password(action: str, payload: Payload | None) -> str | None:
    """The password that this command would give the station; None: it gives none."""
    found: object = None
    if action == "ChangeConfiguration" and payload is not None and payload.get("key") == _PASSWORD_KEY:
        found = payload.get("value")
    elif action == "SetVariables":
        found = next(
            (one.get("attributeValue") for one in _items(payload, "setVariableData") if _is_password(one)), None
        )
    return found if isinstance(found, str) and 0 < len(found) <= MAX_PASSWORD_CHARS else None


def is_taken(action: str, payload: Payload | None) -> bool:
    """Whether the station's answer says that it took the new password."""
    if action == "SetVariables":
        results = [one for one in _items(payload, "setVariableResult") if _is_password(one)]
        return bool(results) and results[0].get("attributeStatus") in _TAKEN
    return payload is not None and payload.get("status") in _TAKEN


def _items(payload: Payload | None, name: str) -> list[Payload]:
    found = payload.get(name) if payload is not None else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _is_address(key: object) -> bool:
    return isinstance(key, str) and _ADDRESS_KEY.search(re.sub(r"[ .]", "", key)) is not None


def _is_address_variable(item: Payload) -> bool:
    component, variable = _name(item.get("component")), _name(item.get("variable"))
    # 2.1 has the network profiles as a component of the device model.
    return component == "NetworkConfiguration" or _is_address(variable)


def _is_password(item: Payload) -> bool:
    return (_name(item.get("component")), _name(item.get("variable"))) == ("SecurityCtrlr", "BasicAuthPassword")


def _name(found: object) -> str:
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""
