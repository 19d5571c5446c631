"""Every reducer of the package by its call, for columns "k" and "x", for tests of what all do."""

import taskinity_data as td

BUILT_IN = {
    "collect()": td.collect(),
    "concat()": td.concat(),
    "count()": td.count(),
    "sum()": td.sum(),
    "mean()": td.mean(),
    "min()": td.min(),
    "max()": td.max(),
    "describe()": td.describe(),
    "group_by('k', n=('x', 'count'))": td.group_by("k", n=("x", "count")),
    "top_k(3, 'x')": td.top_k(3, "x"),
    "histogram('x', [0.0, 2.0, 50.0])": td.histogram("x", [0, 2, 50]),
    "approx_distinct('x')": td.approx_distinct("x"),
    "approx_quantiles('x', (0.1, 0.5))": td.approx_quantiles("x", [0.1, 0.5]),
}
