"""Reads "name <tab> arguments <tab> our value", writes the same with SciPy's value added ("-" where it has none)."""
import sys

from scipy import stats


def table(a):
    return [[int(a[0]), int(a[1])], [int(a[2]), int(a[3])]]


def interval(a):
    return stats.binomtest(int(a[0]), int(a[1])).proportion_ci()


ASK = {
    "fisher": lambda a: stats.fisher_exact(table(a))[1],
    "fisher_less": lambda a: stats.fisher_exact(table(a), "less")[1],
    "fisher_greater": lambda a: stats.fisher_exact(table(a), "greater")[1],
    "barnard": lambda a: stats.barnard_exact(table(a), n=256).pvalue,
    "boschloo": lambda a: stats.boschloo_exact(table(a), n=256).pvalue,
    "chi2_survival": lambda a: stats.chi2.sf(a[1], a[0]),
    "chi2_ln_survival": lambda a: stats.chi2.logsf(a[1], a[0]),
    "chi2_critical": lambda a: stats.chi2.isf(a[1], a[0]),
    "normal_survival": lambda a: stats.norm.sf(a[0]),
    "normal_ln_survival": lambda a: stats.norm.logsf(a[0]),
    "binomial_test": lambda a: stats.binomtest(int(a[0]), int(a[1]), a[2]).pvalue,
    "clopper_low": lambda a: interval(a).low,
    "clopper_high": lambda a: interval(a).high,
    "power": lambda a: stats.ncx2.sf(stats.chi2.isf(a[3], a[2]), a[2], a[1] * a[0] ** 2),
}

for line in sys.stdin:
    name, args, _ = line.rstrip("\n").split("\t")
    ask = ASK.get(name)
    value = "-" if ask is None else "%.17g" % ask([float(x) for x in args.split(",")])
    print(line.rstrip("\n") + "\t" + value)
