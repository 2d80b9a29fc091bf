package h1

// Between reports whether what was read ends with a whole request.
func (s *Scanner) Between() bool { return s.state == requestLine && len(s.held) == 0 }
