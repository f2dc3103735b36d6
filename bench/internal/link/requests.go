package link

import (
	"bytes"
	"strconv"
	"strings"
)

// maxHead is where a stream without a blank line is taken for something that is not HTTP.
const maxHead = 64 << 10

// requestCounter counts HTTP/1.x requests (RFC 9112) in the client's half of a connection. A stream
// that turns out not to be HTTP/1.x counts as no more requests. The zero value is at a request's head.
type requestCounter struct {
	state reading
	held  []byte // the beginning of a head or of a chunk-size line
	skip  int64  // bytes of body left
	then  reading
}

type reading int

const (
	head reading = iota
	body
	chunkSize
	trailer
	foreign
)

// feed takes the next bytes and returns how many request heads ended in them.
func (c *requestCounter) feed(b []byte) (requests int64) {
	for len(b) > 0 {
		switch c.state {
		case foreign:
			return requests
		case body:
			n := min(c.skip, int64(len(b)))
			b, c.skip = b[n:], c.skip-n
			if c.skip == 0 {
				c.state = c.then
			}
		case head:
			text, rest, ok := c.upTo("\r\n\r\n", b)
			if b = rest; !ok {
				continue
			}
			if !isRequest(text) {
				c.state = foreign
				return requests
			}
			requests++
			c.bodyOf(text)
		case chunkSize:
			text, rest, ok := c.upTo("\r\n", b)
			if b = rest; !ok {
				continue
			}
			size, _, _ := strings.Cut(text, ";")
			n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 63)
			switch {
			case err != nil || n < 0:
				c.state = foreign
			case n == 0:
				c.state = trailer
			default:
				c.state, c.skip, c.then = body, n+2, chunkSize
			}
		case trailer:
			text, rest, ok := c.upTo("\r\n", b)
			if b = rest; ok && text == "" {
				c.state = head
			}
		}
	}
	return requests
}

// upTo collects bytes until mark. It returns the text before mark and what follows it, or not ok when
// mark has not come yet.
func (c *requestCounter) upTo(mark string, b []byte) (text string, rest []byte, ok bool) {
	from := max(0, len(c.held)-len(mark)+1)
	had := len(c.held)
	c.held = append(c.held, b...)
	i := bytes.Index(c.held[from:], []byte(mark))
	if i < 0 {
		if len(c.held) > maxHead {
			c.state, c.held = foreign, nil
		}
		return "", nil, false
	}
	text = string(c.held[:from+i])
	rest = b[from+i+len(mark)-had:]
	c.held = c.held[:0]
	return text, rest, true
}

func isRequest(headText string) bool {
	line, _, _ := strings.Cut(headText, "\r\n")
	part := strings.Split(line, " ")
	if len(part) != 3 || part[1] == "" || part[2] != "HTTP/1.1" && part[2] != "HTTP/1.0" {
		return false
	}
	return part[0] != "" && strings.Trim(part[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// bodyOf sets what follows the head.
func (c *requestCounter) bodyOf(headText string) {
	for line := range strings.SplitSeq(headText, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "transfer-encoding":
			if strings.EqualFold(value, "chunked") {
				c.state = chunkSize
				return // outranks a length: RFC 9112, 6.3
			}
		case "content-length":
			if n, err := strconv.ParseInt(value, 10, 63); err == nil && n > 0 {
				c.state, c.skip, c.then = body, n, head
			}
		}
	}
}
