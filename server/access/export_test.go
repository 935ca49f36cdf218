package access

// Attempts is how many attempts the throttle remembers.
func (c *Control) Attempts() int {
	c.throttle.mu.Lock()
	defer c.throttle.mu.Unlock()
	return len(c.throttle.free)
}
