"""How strongly the sun shines on level ground under a clear sky: the shape of a PV day, to be scaled by measurement.

    UTC, place ──Spencer 1971──> declination, equation of time ──> height of the sun ──Haurwitz 1945──> W per m2

No weather, no tilt, no horizon: the ratio of what PV gives to this shape carries all of that (`forecast`).
"""

from __future__ import annotations

from math import cos, exp, pi, radians, sin

DAY_MS = 86_400_000
YEAR_DAYS = 365.2425
EPOCH_2000_DAYS = 10_957
"""1 January 2000 in days of UTC since 1970."""


def clear_sky_w_per_m2(utc_ms: int, *, latitude_deg: float, longitude_deg: float) -> float:
    """Global horizontal irradiance, W per m2; 0 while the sun is down. North and east are positive."""
    height = sine_of_height(utc_ms, latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    # Haurwitz (1945), in the form of Reno, Hansen and Stein, SAND2012-2389: depends on the height of the sun alone.
    return 1098.0 * height * exp(-0.059 / height) if height > 0 else 0.0


def sine_of_height(utc_ms: int, *, latitude_deg: float, longitude_deg: float) -> float:
    """Sine of the sun's height over the horizon (cosine of its zenith angle), -1..1; within about half a degree."""
    days = utc_ms / DAY_MS
    year = 2 * pi * ((days - EPOCH_2000_DAYS) / YEAR_DAYS % 1.0)
    # Spencer (1971), Fourier series of the position of the sun.
    declination = (
        0.006918
        - 0.399912 * cos(year)
        + 0.070257 * sin(year)
        - 0.006758 * cos(2 * year)
        + 0.000907 * sin(2 * year)
        - 0.002697 * cos(3 * year)
        + 0.00148 * sin(3 * year)
    )
    ahead_rad = (
        0.000075 + 0.001868 * cos(year) - 0.032077 * sin(year) - 0.014615 * cos(2 * year) - 0.040849 * sin(2 * year)
    )
    hour_angle = 2 * pi * (days % 1.0) - pi + radians(longitude_deg) + ahead_rad
    latitude = radians(latitude_deg)
    return sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour_angle)
