"""Rounding of limits, so that they stay readable and never become stricter."""

import math


def round_up(value: float, digits: int = 1) -> float:
    """Round a number up to some significant digits; 0 if it is not positive."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.12g}")


_GROUPED = range(1_000, 1_000_000)


def short(value: float) -> str:
    """Return a number with about three digits, and no exponent below a million."""
    return f"{value:,.0f}" if int(abs(value)) in _GROUPED else f"{value:.3g}"
