package workload

import "math/bits"

// rng is xoshiro128** (Blackman and Vigna, 2018) with the original's seeding: the seed, and the seed
// crossed with three constants, then 16 steps thrown away. It is not safe for concurrent use.
type rng struct{ s [4]uint32 }

func newRNG(seed uint32) *rng {
	r := &rng{s: [4]uint32{seed, seed ^ 0x9e3779b9, seed ^ 0x243f6a88, seed ^ 0xb7e15162}}
	for range 16 {
		r.next()
	}
	return r
}

func (r *rng) next() uint32 {
	s := &r.s
	out := bits.RotateLeft32(s[1]*5, 7) * 9
	t := s[1] << 9
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft32(s[3], 11)
	return out
}

// float is in [0, 1), a multiple of 2^-32.
func (r *rng) float() float64 { return float64(r.next()) / (1 << 32) }

// between is in [a, b]. The product is rounded to a float64 before it is cut, as in JavaScript.
func (r *rng) between(a, b int) int {
	return a + int(float64(r.float()*float64(b-a+1)))
}

func (r *rng) chance(p float64) bool { return r.float() < p }

func pick(r *rng, from []string) string { return from[r.between(0, len(from)-1)] }
