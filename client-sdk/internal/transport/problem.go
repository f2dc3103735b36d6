package transport

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// Problem is a refusal by the server, or by something in between.
// errors.Is(err, code) holds for its code.
type Problem struct {
	Status int
	Code   syncproto.Code
	Detail string
	// RetryAfter is how long the server asks to wait; 0 if it does not.
	RetryAfter time.Duration
	// Wipe is the order of a revoked device's owner to destroy its data.
	Wipe *SignedOrder
}

// SignedOrder is a wipe order as the server signed it.
type SignedOrder struct {
	Body      string `json:"body"`
	Signature string `json:"signature"`
	Key       string `json:"key"`
}

// Error returns the code, status and detail.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s (HTTP %d): %s", p.Code, p.Status, p.Detail)
}

// Is makes errors.Is(err, code) work.
func (p *Problem) Is(target error) bool { return target == error(p.Code) }

// As lets syncproto.CodeOf find the code.
func (p *Problem) As(target any) bool {
	if code, ok := target.(*syncproto.Code); ok {
		*code = p.Code
		return true
	}
	return false
}

const maxProblem = 64 << 10

// problem reads a refusal, and corrects the clock by the time that it tells.
func (c *Client) problem(resp *http.Response) error {
	received := c.c.Clock()
	p := &Problem{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), received)}
	text, cut := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	c.down.Add(int64(len(text)))
	var doc struct {
		Code       syncproto.Code `json:"code"`
		Detail     string         `json:"detail"`
		ServerTime int64          `json:"server_time"`
		Wipe       *SignedOrder   `json:"wipe"`
	}
	if json.Unmarshal(text, &doc) == nil && doc.Code != "" {
		p.Code, p.Detail, p.Wipe = doc.Code, doc.Detail, doc.Wipe
		if doc.ServerTime > 0 {
			c.c.Corrected(time.UnixMilli(doc.ServerTime), received)
		}
		return p
	}
	// Not our server's words: a proxy, a portal, an overloaded balancer.
	p.Detail = "the answer is not Sambang's"
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		p.Code = syncproto.CodeRateLimited
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		p.Code = syncproto.CodeTooLarge
	case resp.StatusCode >= 500:
		p.Code = syncproto.CodeUnavailable
	case cut != nil: // the link broke, and with it what the server wanted to say
		return fmt.Errorf("read the refusal: %w: %w", syncproto.CodeOffline, cut)
	default:
		p.Code = syncproto.CodeBadResponse
	}
	return p
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
