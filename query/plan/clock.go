package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	microsPerSecond = int64(1_000_000)
	microsPerMinute = 60 * microsPerSecond
	microsPerHour   = 60 * microsPerMinute
	microsPerDay    = 24 * microsPerHour
)

// What functions give lies between these: from PostgreSQL's first day, in 4714 BC, to about the year 75000.
const (
	timeMin = int64(-210_866_803_200) * microsPerSecond
	timeMax = int64(1) << 61
)

// formatTime is the ISO form of Unix microseconds in UTC: 2024-01-02 03:04:05+00.
func formatTime(us int64) string {
	t := time.UnixMicro(us).UTC()
	if year := t.Year(); year <= 0 { // there is no year 0
		return fmt.Sprintf("%04d", 1-year) + t.Format("-01-02 15:04:05.999999") + "+00 BC"
	}
	return t.Format("2006-01-02 15:04:05.999999") + "+00"
}

// timeLayouts are the forms of a timestamp without its zone, longest first.
var timeLayouts = []string{"2006-01-02 15:04:05.999999", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02 15", "2006-01-02"}

// ParseTime reads an ISO timestamp; without a zone it is UTC.
func ParseTime(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 10 && (s[10] == 'T' || s[10] == 't') {
		s = s[:10] + " " + s[11:]
	}
	if strings.EqualFold(s, "epoch") {
		return 0, true
	}
	if us, ok := parseFarTime(s); ok {
		return us, true
	}
	for _, zone := range []string{"", "Z07:00", "Z07", "Z0700", " Z07:00", " Z07"} {
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout+zone, s); err == nil {
				return t.UnixMicro(), true
			}
		}
	}
	if rest, ok := strings.CutSuffix(strings.ToUpper(s), "UTC"); ok && rest != "" {
		return ParseTime(rest)
	}
	return 0, false
}

// parseFarTime reads a timestamp before the year 1, which ends with BC, or one whose year has five digits.
func parseFarTime(s string) (int64, bool) {
	rest, bc := strings.CutSuffix(strings.ToUpper(s), " BC")
	digits, tail, ok := strings.Cut(rest, "-")
	year, err := strconv.Atoi(digits)
	if !ok || err != nil || year < 1 || !bc && len(digits) != 5 || len(digits) > 5 || bc && len(digits) != 4 {
		return 0, false
	}
	if bc {
		year = 1 - year
	}
	near := 2000 + floorMod(int64(year), 400) // the calendar repeats itself
	us, ok := ParseTime(strconv.FormatInt(near, 10) + "-" + tail)
	us += (int64(year) - near) / 400 * 146_097 * microsPerDay
	return us, ok && us >= timeMin && us < timeMax
}

// units are the words of an interval, each with its months, days and microseconds.
var units = map[string]Value{
	"microsecond": IntervalValue(0, 0, 1), "us": IntervalValue(0, 0, 1),
	"millisecond": IntervalValue(0, 0, 1000), "ms": IntervalValue(0, 0, 1000), "msec": IntervalValue(0, 0, 1000),
	"second": IntervalValue(0, 0, microsPerSecond), "sec": IntervalValue(0, 0, microsPerSecond), "s": IntervalValue(0, 0, microsPerSecond),
	"minute": IntervalValue(0, 0, microsPerMinute), "min": IntervalValue(0, 0, microsPerMinute), "m": IntervalValue(0, 0, microsPerMinute),
	"hour": IntervalValue(0, 0, microsPerHour), "hr": IntervalValue(0, 0, microsPerHour), "h": IntervalValue(0, 0, microsPerHour),
	"day": IntervalValue(0, 1, 0), "d": IntervalValue(0, 1, 0), "week": IntervalValue(0, 7, 0), "w": IntervalValue(0, 7, 0),
	"month": IntervalValue(1, 0, 0), "mon": IntervalValue(1, 0, 0), "quarter": IntervalValue(3, 0, 0),
	"year": IntervalValue(12, 0, 0), "y": IntervalValue(12, 0, 0), "yr": IntervalValue(12, 0, 0),
	"decade": IntervalValue(120, 0, 0), "century": IntervalValue(1200, 0, 0),
}

func unitByName(word string) (Value, bool) {
	word = strings.ToLower(word)
	if u, ok := units[word]; ok {
		return u, true
	}
	u, ok := units[strings.TrimSuffix(word, "s")]
	return u, ok
}

// ParseInterval reads '1 hour', '90d', '1 day 02:03:04', '1 month ago', '1.5 hours', or a plain number of seconds.
func ParseInterval(s string) (Value, bool) {
	v := IntervalValue(0, 0, 0)
	rest := strings.TrimSpace(s)
	ago := false
	if r, ok := strings.CutSuffix(strings.ToLower(rest), " ago"); ok {
		rest, ago = rest[:len(r)], true
	}
	if rest == "" {
		return Null, false
	}
	for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ,") {
		n := numberPrefix(rest)
		if n == 0 {
			return Null, false
		}
		if n < len(rest) && rest[n] == ':' {
			us, used := clockPrefix(rest)
			if used == 0 {
				return Null, false
			}
			v.num, rest = v.num+us, rest[used:]
			continue
		}
		f, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return Null, false
		}
		rest = strings.TrimLeft(rest[n:], " ")
		w := 0
		for w < len(rest) && (rest[w]|0x20 >= 'a' && rest[w]|0x20 <= 'z') {
			w++
		}
		unit, ok := IntervalValue(0, 0, microsPerSecond), true
		if w > 0 {
			unit, ok = unitByName(rest[:w])
		}
		if !ok {
			return Null, false
		}
		rest = rest[w:]
		scaled, ok := scaleInterval(unit, f)
		if !ok {
			return Null, false
		}
		v.months, v.days, v.num = v.months+scaled.months, v.days+scaled.days, v.num+scaled.num
	}
	if ago {
		v.months, v.days, v.num = -v.months, -v.days, -v.num
	}
	return v, true
}

func numberPrefix(s string) int {
	n := 0
	if n < len(s) && (s[n] == '+' || s[n] == '-') {
		n++
	}
	start := n
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.') {
		n++
	}
	if n == start {
		return 0
	}
	return n
}

// clockPrefix reads [-]hh:mm[:ss[.ffffff]] at the start of s.
func clockPrefix(s string) (us int64, used int) {
	sign := int64(1)
	if s[0] == '-' || s[0] == '+' {
		if s[0] == '-' {
			sign = -1
		}
		used++
	}
	end := used
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == ':' || s[end] == '.') {
		end++
	}
	parts := strings.Split(s[used:end], ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, 0
	}
	scale := float64(microsPerHour)
	total := 0.0
	for _, p := range parts {
		f, err := strconv.ParseFloat(p, 64)
		if err != nil {
			return 0, 0
		}
		total += f * scale
		scale /= 60
	}
	if total > 1e18 {
		return 0, 0
	}
	return sign * int64(math.Round(total)), end
}

// scaleInterval is v·f. A fraction of a month goes on as days of a month of 30, a fraction of a day as microseconds.
func scaleInterval(v Value, f float64) (Value, bool) {
	months := float64(v.months) * f
	days := float64(v.days)*f + math.Round((months-math.Trunc(months))*30*1e6)/1e6 // 20 days, not 19 and 24 hours
	micros := float64(v.num)*f + (days-math.Trunc(days))*float64(microsPerDay)
	if !(math.Abs(months) < math.MaxInt32 && math.Abs(days) < math.MaxInt32 && math.Abs(micros) < 1<<62) {
		return Null, false
	}
	return IntervalValue(int32(months), int32(days), int64(math.Round(micros))), true
}

func formatInterval(v Value) string {
	var parts []string
	below := false // behind a part below 0 the sign is always written
	add := func(n int64, unit string) {
		if n != 0 {
			s := strconv.FormatInt(n, 10) + " " + unit
			if n != 1 {
				s += "s"
			}
			if below && n > 0 {
				s = "+" + s
			}
			parts, below = append(parts, s), n < 0
		}
	}
	add(int64(v.months/12), "year")
	add(int64(v.months%12), "mon")
	add(int64(v.days), "day")
	if v.num != 0 || len(parts) == 0 {
		us, sign := v.num, ""
		switch {
		case us < 0:
			us, sign = -us, "-"
		case below:
			sign = "+"
		}
		s := fmt.Sprintf("%s%02d:%02d:%02d", sign, us/microsPerHour, us/microsPerMinute%60, us/microsPerSecond%60)
		if frac := us % microsPerSecond; frac != 0 {
			s += strings.TrimRight(fmt.Sprintf(".%06d", frac), "0")
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

// After is t and a span such as '90 days', if that lies in the future of t and in range.
func After(t time.Time, span string) (time.Time, bool) {
	v, ok := ParseInterval(span)
	if !ok {
		return t, false
	}
	us, ok := addInterval(t.UnixMicro(), v, 1)
	return time.UnixMicro(us), ok && us > t.UnixMicro()
}

// addInterval is t + sign·v: months by the calendar (the day is clipped to the month), then days, then microseconds.
func addInterval(us int64, v Value, sign int32) (int64, bool) {
	if v.months != 0 {
		t := time.UnixMicro(us).UTC()
		m := int(t.Month()) - 1 + int(sign)*int(v.months)
		if year := t.Year() + m/12; year < -5000 || year > 100_000 { // beyond both bounds, and maybe beyond an int64
			return 0, false
		}
		first := time.Date(t.Year(), time.Month(m+1), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		us = first.AddDate(0, 0, min(t.Day(), last)-1).UnixMicro()
	}
	if about := float64(us) + float64(sign)*(float64(v.days)*float64(microsPerDay)+float64(v.num)); math.Abs(about) > 1<<61 {
		return 0, false
	}
	r := us + int64(sign)*(int64(v.days)*microsPerDay) + int64(sign)*v.num
	return r, r >= timeMin && r < timeMax
}

// truncTime is the start of the calendar unit that us lies in.
func truncTime(unit string, us int64) (int64, bool) {
	t := time.UnixMicro(us).UTC()
	y, m, d := t.Date()
	switch strings.TrimSuffix(strings.ToLower(unit), "s") {
	case "microsecond":
		return us, true
	case "millisecond":
		return us - floorMod(us, 1000), true
	case "second":
		return us - floorMod(us, microsPerSecond), true
	case "minute":
		return us - floorMod(us, microsPerMinute), true
	case "hour":
		return us - floorMod(us, microsPerHour), true
	case "day":
		return us - floorMod(us, microsPerDay), true
	case "week":
		day := us - floorMod(us, microsPerDay)
		return day - int64((int(t.Weekday())+6)%7)*microsPerDay, true
	case "month":
		return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	case "quarter":
		return time.Date(y, (m-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	case "year":
		return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	case "decade":
		return time.Date(y-y%10, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	case "century": // begins with the year 1 of each hundred
		return time.Date(y-(y-1)%100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	case "millennium":
		return time.Date(y-(y-1)%1000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	}
	_ = d
	return 0, false
}

// binTime is the start of the bucket of width v, counted from origin, that us lies in. Widths of months count months from
// the origin's month.
func binTime(v Value, us, origin int64) (int64, bool) {
	if v.months != 0 {
		if v.days != 0 || v.num != 0 || v.months < 0 {
			return 0, false
		}
		t, o := time.UnixMicro(us).UTC(), time.UnixMicro(origin).UTC()
		n := int64(t.Year()-o.Year())*12 + int64(t.Month()-o.Month())
		n -= floorMod(n, int64(v.months))
		return time.Date(o.Year(), o.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC).UnixMicro(), true
	}
	width := int64(v.days)*microsPerDay + v.num
	if width <= 0 {
		return 0, false
	}
	return us - floorMod(us-origin, width), true
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

// timePart is extract(field FROM t).
func timePart(field string, us int64) (float64, bool) {
	t := time.UnixMicro(us).UTC()
	seconds := float64(t.Second()) + float64(floorMod(us, microsPerSecond))/1e6
	switch strings.ToLower(field) {
	case "epoch":
		return float64(us) / 1e6, true
	case "microseconds":
		return seconds * 1e6, true
	case "milliseconds":
		return seconds * 1e3, true
	case "second", "seconds":
		return seconds, true
	case "minute":
		return float64(t.Minute()), true
	case "hour":
		return float64(t.Hour()), true
	case "day":
		return float64(t.Day()), true
	case "dow":
		return float64(t.Weekday()), true
	case "isodow":
		return float64((int(t.Weekday())+6)%7 + 1), true
	case "doy":
		return float64(t.YearDay()), true
	case "week":
		_, w := t.ISOWeek()
		return float64(w), true
	case "isoyear":
		y, _ := t.ISOWeek()
		return float64(y), true
	case "month":
		return float64(t.Month()), true
	case "quarter":
		return float64((t.Month()-1)/3 + 1), true
	case "year":
		return float64(t.Year()), true
	case "decade":
		return float64(t.Year() / 10), true
	case "century":
		return float64((t.Year()-1)/100 + 1), true
	case "millennium":
		return float64((t.Year()-1)/1000 + 1), true
	}
	return 0, false
}

// spanPart is extract(field FROM v).
func spanPart(field string, v Value) (float64, bool) {
	const yearMicros = 365.25 * float64(microsPerDay)
	years := v.months / 12
	seconds := float64(v.num%microsPerMinute) / 1e6
	switch strings.ToLower(field) {
	case "epoch": // a year has 365.25 days, and what is left of it months of 30
		return (float64(years)*yearMicros + (float64(v.months%12)*30+float64(v.days))*float64(microsPerDay) + float64(v.num)) / 1e6, true
	case "microseconds":
		return seconds * 1e6, true
	case "milliseconds":
		return seconds * 1e3, true
	case "second", "seconds":
		return seconds, true
	case "minute":
		return float64(v.num / microsPerMinute % 60), true
	case "hour":
		return float64(v.num / microsPerHour), true
	case "day":
		return float64(v.days), true
	case "month":
		return float64(v.months % 12), true
	case "quarter":
		return float64(v.months%12/3 + 1), true
	case "year":
		return float64(years), true
	case "decade":
		return float64(years / 10), true
	case "century":
		return float64(years / 100), true
	case "millennium":
		return float64(years / 1000), true
	}
	return 0, false
}
