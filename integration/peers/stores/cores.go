package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
)

// cores places clients and servers. Over one connection only one of the two works at a time, so that the kernel likes to run both on one
// core, and whichever server sleeps sooner gains; a client that is not on the server's machine does not share one. On cores of their own the
// servers are compared, not the kernel's choices.
type cores struct {
	servers  []int // process ids
	together bool  // the kernel chooses, also over one connection
	apart    bool  // as it is now
}

// place puts the clients, which are this process and its children, on the first half of the cores and the servers on the others if apart, and
// everybody everywhere if not.
func (c *cores) place(apart bool) error {
	apart = apart && !c.together && runtime.NumCPU() > 1
	if apart == c.apart {
		return nil
	}
	all := fmt.Sprintf("0-%d", runtime.NumCPU()-1)
	clients, servers := all, all
	if apart {
		half := runtime.NumCPU() / 2
		clients, servers = fmt.Sprintf("0-%d", half-1), fmt.Sprintf("%d-%d", half, runtime.NumCPU()-1)
	}
	c.apart = apart
	if err := pin(os.Getpid(), clients); err != nil {
		return err
	}
	for _, pid := range c.servers {
		if err := pin(pid, servers); err != nil {
			return err
		}
	}
	return nil
}

// pin lets all threads of a process, and the processes that it starts later, run on some cores only.
func pin(pid int, list string) error {
	out, err := exec.Command("taskset", "--all-tasks", "--pid", "--cpu-list", list, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset (of util-linux): %w\n%s", err, out)
	}
	return nil
}
