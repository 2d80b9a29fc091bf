package vault

// RememberAs makes s remember what other has verified, so that a test with many services verifies it once.
func (s *Service) RememberAs(other *Service) { s.stated, s.bound = other.stated, other.bound }
