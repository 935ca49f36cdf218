package pgwire

import (
	"sync/atomic"
	"testing"
	"time"
)

// eager gives the eagerness of a connection that polls with the next wait.
func eager(asked *atomic.Pointer[eagerness]) *eagerness {
	e := &eagerness{asked: asked, span: 100 * time.Microsecond}
	for range alonesMin + 1 {
		e.heard()
	}
	e.slept(e.span)
	return e
}

func TestPollsForAClientThatAsksAlone(t *testing.T) {
	var asked atomic.Pointer[eagerness]
	e := &eagerness{asked: &asked, span: 100 * time.Microsecond}
	e.slept(e.span)
	for i := range alonesMin + 1 {
		if e.polls() {
			t.Fatalf("polls after %d reads", i)
		}
		e.heard()
	}
	if !e.polls() {
		t.Fatal("does not poll for a client that asks alone")
	}

	other := &eagerness{asked: &asked, span: e.span}
	other.slept(e.span)
	other.heard()
	if e.polls() || e.alone() {
		t.Error("polls although another client has asked")
	}
	for range alonesMin {
		e.heard()
		other.heard()
	}
	if e.polls() || other.polls() {
		t.Error("polls while two clients ask in turns")
	}
}

func TestPollsForAClientThatAsksSoon(t *testing.T) {
	var asked atomic.Pointer[eagerness]
	e := eager(&asked)
	if e.slept(2*e.span + 1); e.polls() {
		t.Error("polls for a client that takes its time")
	}
	if e.slept(2 * e.span); !e.polls() {
		t.Error("does not poll for a client that asks again soon")
	}
}

// waits gives how many waits sleep before the next one that is polled.
func waits(e *eagerness) int {
	for n := 0; ; n++ {
		if e.polls() {
			return n
		}
	}
}

func TestPollingInVainBecomesRare(t *testing.T) {
	var asked atomic.Pointer[eagerness]
	e := eager(&asked)
	polled, total := 0, 100_000
	for range total {
		if e.polls() {
			polled++
			e.missed()
		}
	}
	if polled > total/1000+vainMax {
		t.Errorf("%d of %d waits were polled in vain", polled, total)
	}
	e.found()
	e.missed()
	if n := waits(e); n != 1<<vainMax-1 {
		t.Errorf("one that was not in vain let the next sleep through %d waits only", n)
	}
	for range vainMax {
		e.found()
	}
	if n := waits(e); n != 0 {
		t.Errorf("sleeps through %d waits although polling pays again", n)
	}
}

func TestPollingThatOthersEndIsNotInVain(t *testing.T) {
	var asked atomic.Pointer[eagerness]
	e := eager(&asked)
	(&eagerness{asked: &asked}).heard()
	e.missed()
	if e.vain != 0 {
		t.Error("counted against the connection")
	}
}

func TestConnectionsThatHaveEndedAreNotKept(t *testing.T) {
	var asked atomic.Pointer[eagerness]
	e, other := eager(&asked), &eagerness{asked: &asked}
	other.forget()
	if !e.alone() {
		t.Error("the end of one connection made another forgotten")
	}
	if e.forget(); asked.Load() != nil {
		t.Error("the server knows a connection that has ended")
	}
}
