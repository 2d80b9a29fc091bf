package open

import (
	"math"
	"time"
)

// Schedule gives the intended start of each arrival, as time since the run's start. It depends on nothing but its
// fields, so that a run can be repeated. The zero value is not useful: set Rate.
type Schedule struct {
	Rate float64 // arrivals per second
	// Even spaces the arrivals evenly. Otherwise they are a Poisson process, as of many independent callers.
	Even bool
	Seed uint64

	n     uint64
	at    float64 // seconds
	state uint64
}

// Next returns the next intended start; it never falls.
func (s *Schedule) Next() time.Duration {
	if s.Even {
		d := time.Duration(math.Round(float64(s.n) / s.Rate * float64(time.Second)))
		s.n++
		return d
	}
	if s.n == 0 {
		s.state = s.Seed
	}
	s.n++
	s.at += -math.Log(s.uniform()) / s.Rate
	return time.Duration(s.at * float64(time.Second))
}

// uniform is a number in (0, 1], by splitmix64 (Steele, Lea, Flood, 2014).
func (s *Schedule) uniform() float64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11+1) / (1 << 53)
}
