# Input: name, arguments, ours, theirs. Known reasons, by peer and name, are listed here; anything else above 1e-9 fails.
BEGIN {
  FS = "\t"
  known["R odds_ratio_conditional"] = "R solves with uniroot, to 1.2e-4 in its unit interval"
  known["R odds_ratio_low"] = known["R odds_ratio_high"] = known["R odds_ratio_conditional"]
  known["R power"] = "R sums the noncentral series to about 1e-12 absolute"
  known["SciPy chi2_ln_survival"] = "SciPy takes the logarithm of an underflowed or rounded survival"
  known["SciPy barnard"] = "SciPy searches the nuisance parameter by sampling"
  known["SciPy boschloo"] = known["SciPy barnard"]
}
$4 == "-" { next }
{
  ours = $3 + 0
  theirs = $4 + 0
  d = ours - theirs
  if (d < 0) d = -d
  size = ours < 0 ? -ours : ours
  # -inf against a finite logarithm is as different as can be; below 1e-300 both are next to nothing.
  rel = ($4 ~ /inf|nan|NaN|Inf/) ? 1 : (size > 1e-300 ? d / size : 0)
  n[$1]++
  if (rel <= 1e-9) ok[$1]++
  else if (rel >= worst[$1]) { worst[$1] = rel; where[$1] = $2 " ours " $3 " theirs " $4 }
}
END {
  for (name in n) {
    line = sprintf("%s: %-24s %3d of %3d agree to 1e-9", peer, name, ok[name], n[name])
    if (ok[name] < n[name]) {
      reason = known[peer " " name]
      line = line sprintf("; worst %.2g at %s: %s", worst[name], where[name], reason == "" ? "UNEXPLAINED" : reason)
      if (reason == "") failed = 1
    }
    print line | "sort"
  }
  close("sort")
  exit failed
}
