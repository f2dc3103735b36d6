package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// body reads a request's body under a deadline that progress renews: the n-th
// byte must have come before start + grace + n / rate, and the next one within
// the stall. A steady slow sender passes, a dripping one is cut.
//
// The deadline holds from the start, so that also a body that nobody reads (a
// refused request) does not hold the connection.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	limits  Limits
	start   time.Time
	n       int64
	over    bool
}

// The deadlines are the network's, so they are in the machine's time and not
// in the server's clock, which tests set.
func newBody(w http.ResponseWriter, r io.ReadCloser, l Limits) *body {
	b := &body{ReadCloser: r, control: http.NewResponseController(w), limits: l, start: time.Now()}
	if r != nil && r != http.NoBody {
		b.renew()
	}
	return b
}

func (b *body) renew() {
	rate := b.start.Add(b.limits.BodyGrace + time.Duration(float64(b.n)/float64(b.limits.MinRate)*float64(time.Second)))
	stall := time.Now().Add(b.limits.ReadStall)
	if rate.Before(stall) {
		stall = rate
	}
	_ = b.control.SetReadDeadline(stall) // a recorder in a test has none
}

// Read reads with a renewed deadline; one that passed gives timeout.
func (b *body) Read(p []byte) (int, error) {
	if !b.over {
		b.renew()
	}
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		if !b.over {
			// Or it would fire while the reply is made, and pass for a caller
			// who went away.
			b.over = true
			_ = b.control.SetReadDeadline(time.Time{})
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = syncproto.Errorf(syncproto.CodeTimeout, "the body came slower than %d bytes a second, or stopped", b.limits.MinRate)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = syncproto.Errorf(syncproto.CodeMalformed, "the body is shorter than announced")
	case errors.As(err, &tooLarge):
		err = syncproto.Errorf(syncproto.CodeTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	default:
		err = syncproto.Errorf(syncproto.CodeTimeout, "the connection was cut while the body came")
	}
	return n, err
}

// writer writes a response under a deadline that each write renews.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	status  int
	n       int64
}

func newWriter(w http.ResponseWriter, stall time.Duration) *writer {
	x := &writer{ResponseWriter: w, control: http.NewResponseController(w), stall: stall}
	x.renew()
	return x
}

func (w *writer) renew() { _ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) }

// Unwrap lets http.ResponseController through.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// chunk is what is written under one deadline.
const chunk = 32 << 10

// Write writes p in chunks, each in its time.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	written := 0
	for {
		part := p[written:min(len(p), written+chunk)]
		w.renew()
		n, err := w.ResponseWriter.Write(part)
		written += n
		w.n += int64(n)
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Flush sends what is buffered.
func (w *writer) Flush() {
	w.renew()
	_ = w.control.Flush() // a failed one shows at the next write
}
