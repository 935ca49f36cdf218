package server

import (
	"sync"
	"time"
)

// peak is the greatest rate at which something was counted within the last hour, from readings of a counter that only rises.
type peak struct {
	mu      sync.Mutex           // guards the fields below
	read    time.Time            // of the last reading; zero: there was none
	count   uint64               // of the last reading
	highest [peakMinutes]float64 // a second, by minute
	minutes [peakMinutes]int64   // that highest is of, since 1970
}

const peakMinutes = 60

// see takes in a reading.
func (p *peak) see(now time.Time, count uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seconds := now.Sub(p.read).Seconds()
	last, first := p.count, p.read.IsZero()
	p.read, p.count = now, count
	if first || seconds <= 0 {
		return
	}
	minute := now.Unix() / 60
	at := minute % peakMinutes
	if p.minutes[at] != minute {
		p.minutes[at], p.highest[at] = minute, 0
	}
	p.highest[at] = max(p.highest[at], float64(count-last)/seconds)
}

// rate is the greatest a second within the hour before the last reading.
func (p *peak) rate() (most float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, minute := range p.minutes {
		if minute > p.read.Unix()/60-peakMinutes {
			most = max(most, p.highest[i])
		}
	}
	return most
}
