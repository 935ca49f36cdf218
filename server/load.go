package server

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Load is how busy a machine is.
type Load struct {
	CPU        float64 // share of the processors that are busy, 0 to 1
	MemoryFree float64 // share of the memory that is free or could be, 0 to 1
}

// machine reads the load of this one from Linux. What cannot be read counts as idle.
type machine struct{ busy, all uint64 } // jiffies at the last look

// look is the load since the last look.
func (m *machine) look() Load {
	var l Load
	if busy, all, err := jiffies(); err == nil {
		if all > m.all {
			l.CPU = min(1, float64(busy-m.busy)/float64(all-m.all))
		}
		m.busy, m.all = busy, all
	}
	l.MemoryFree = memoryFree()
	return l
}

// jiffies are those of all processors since the start, of /proc/stat: user nice system idle iowait irq softirq steal.
func jiffies() (busy, all uint64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var of [8]uint64
	if _, err := fmt.Sscanf(string(line), "cpu %d %d %d %d %d %d %d %d", &of[0], &of[1], &of[2], &of[3], &of[4], &of[5], &of[6], &of[7]); err != nil {
		return 0, 0, err
	}
	for _, n := range of {
		all += n
	}
	return all - of[3] - of[4], all, nil
}

// memoryFree is MemAvailable of /proc/meminfo, which counts what the page cache would give back.
func memoryFree() float64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		var total, free, available uint64
		if _, err = fmt.Sscanf(string(text), "MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB", &total, &free, &available); err == nil && total > 0 {
			return float64(available) / float64(total)
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil || info.Totalram == 0 {
		return 0
	}
	return float64(info.Freeram) / float64(info.Totalram)
}

// window keeps the last readings of something. Its median does not see spikes.
type window struct{ last []float64 }

// beatsMax is how many heartbeats a window covers: a minute.
const beatsMax = 12

func (w *window) add(x float64) {
	w.last = append(w.last, x)
	if len(w.last) > beatsMax {
		w.last = slices.Delete(w.last, 0, 1)
	}
}

// median is the middle reading, of an even number the lower of the two; 0 without readings.
func (w *window) median() float64 {
	if len(w.last) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(w.last))
	return s[(len(s)-1)/2]
}
