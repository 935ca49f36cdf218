# Reads "name <tab> arguments <tab> our value", writes the same with R's value added ("-" where R has none).
conditional <- function(a) fisher.test(matrix(a, 2, byrow = TRUE))
ask <- function(name, a) switch(name,
  fisher = conditional(a)$p.value,
  fisher_less = fisher.test(matrix(a, 2, byrow = TRUE), alternative = "less")$p.value,
  fisher_greater = fisher.test(matrix(a, 2, byrow = TRUE), alternative = "greater")$p.value,
  odds_ratio_conditional = unname(conditional(a)$estimate),
  odds_ratio_low = conditional(a)$conf.int[1],
  odds_ratio_high = conditional(a)$conf.int[2],
  chi2_survival = pchisq(a[2], a[1], lower.tail = FALSE),
  chi2_ln_survival = pchisq(a[2], a[1], lower.tail = FALSE, log.p = TRUE),
  chi2_critical = qchisq(a[2], a[1], lower.tail = FALSE),
  normal_survival = pnorm(a[1], lower.tail = FALSE),
  normal_ln_survival = pnorm(a[1], lower.tail = FALSE, log.p = TRUE),
  binomial_test = binom.test(a[1], a[2], a[3])$p.value,
  clopper_low = binom.test(a[1], a[2])$conf.int[1],
  clopper_high = binom.test(a[1], a[2])$conf.int[2],
  power = pchisq(qchisq(a[4], a[3], lower.tail = FALSE), a[3], a[2] * a[1]^2, lower.tail = FALSE),
  adjust_holm = p.adjust(a[-1], "holm")[a[1]],
  adjust_hochberg = p.adjust(a[-1], "hochberg")[a[1]],
  adjust_bh = p.adjust(a[-1], "BH")[a[1]],
  adjust_by = p.adjust(a[-1], "BY")[a[1]],
  NULL)
input <- file("stdin")
questions <- readLines(input)
close(input)
for (line in questions) {
  f <- strsplit(line, "\t")[[1]]
  v <- ask(f[1], as.numeric(strsplit(f[2], ",")[[1]]))
  cat(line, if (is.null(v)) "-" else sprintf("%.17g", v), sep = "\t")
  cat("\n")
}
