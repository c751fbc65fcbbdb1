"""The site as the ocpp role arbitrates it where another EMS controls it: meters, circuits and EVSEs, nothing else.

    DgmConfig (ems.third_party) ──shared──> DgmConfig without PV and batteries ──> the same machine and core as an EMS's

PV and batteries belong to the other EMS: DGM neither reads nor commands them, so their help is credited to nobody. What
they do is seen at the meters, as load that nobody controls.
"""

from __future__ import annotations

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType

OF_THE_OTHER_EMS = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)


def shared(config: DgmConfig) -> DgmConfig:
    """The configuration to arbitrate by: the whole one where the ems role is ours."""
    if not config.ems.third_party:
        return config
    found = DgmConfig()
    found.CopyFrom(config)
    del found.assets[:]
    found.assets.extend(asset for asset in config.assets if asset.type not in OF_THE_OTHER_EMS)
    return found
