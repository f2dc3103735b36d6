package floor

import (
	"time"

	"github.com/sambang-id/sambang/bench/internal/link"
)

// ColdTLS is the round trips before the answer to a request on a new connection can come: TCP (RFC 9293),
// TLS 1.3 (RFC 8446), and the request's own.
const ColdTLS = 3

// Warm is the round trips of a request on an open connection.
const Warm = 1

// Transfer is the floor of D: how long a link needs for an exchange that sends up bytes and then takes
// down bytes, with nothing to do at either end. Only payload is charged, no headers, so that small
// packets are the scenario's cost. A rate of 0 is unlimited.
func Transfer(s link.Shape, up, down int64, roundTrips int) time.Duration {
	return over(up, s.Up) + over(down, s.Down) + time.Duration(roundTrips)*s.RTT
}

func over(bytes, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(rate) * float64(time.Second))
}
