package client

// Stats are totals since Open.
type Stats struct {
	Batches      int64 // sent for the first time
	Rows         int64 // distinct cells in them
	Observations int64
	BytesSent    int64 // of their messages, retries not counted
	Retries      int64
}

// Stats are the present totals.
func (c *Client) Stats() Stats {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.stats
}
