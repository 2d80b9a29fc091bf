package session

// Lanes is the number of lanes that the session has, that of batches included. It does not change while it lives.
func (c *Client) Lanes() int { return len(c.lanesOf()) }
